"""What every kernel keeps: tests walk all operations, their cases and their implementations.

A kernel runs under its interpreter here, where memory that nothing has written is NaN. It is
compared with the reference in float64 on the same arguments, so that a wrong reference in float32
cannot hide a wrong kernel. Programs are also visited in another order, and every kernel is lowered
for its accelerator.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from pallas_kernels import operations
from pallas_kernels.launch import permuted
from panorax.testing.tolerances import HALF, LAYER

CALLS = {"triton": "__gpu$xla.gpu.triton", "mosaic": "mosaic_gpu_v2", "tpu": "tpu_custom_call"}
OPERATIONS = operations()
RUNS = [
    pytest.param(operation, case, implementation, id=f"{name}-{case.name}-{implementation}")
    for name, operation in OPERATIONS.items()
    for case in operation.cases
    if not case.real
    for implementation in operation.kernels
]
LOWERED = [
    pytest.param(operation, case, target, id=f"{name}-{case.name}-{target}")
    for name, operation in OPERATIONS.items()
    for case in operation.cases
    for target in CALLS
    if target in operation.implementations
]


def drawn(case):
    return case.arguments(jax.random.key(zlib.crc32(case.name.encode())))


def random_like(results):
    draw = np.random.default_rng(1).normal
    return jax.tree.map(lambda y: np.asarray(draw(size=y.shape), y.dtype), results)


def floating(tree):
    return all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(tree))


def with_gradients(run, operation, case, arguments, cotangents=random_like):
    """Results, the gradients of the differentiable arguments, and the cotangents."""
    run = functools.partial(run, **case.options)
    positions = [i for i in operation.differentiable if floating(arguments[i])]
    if not positions:
        return run(*arguments), (), None

    def of(*differentiable):
        every = list(arguments)
        for position, x in zip(positions, differentiable, strict=True):
            every[position] = x
        return run(*every)

    results, pull = jax.vjp(of, *(arguments[i] for i in positions))
    cotangents = cotangents(results)
    return results, pull(cotangents), cotangents


def widened(tree):
    """Floating-point arrays as float64."""
    wide = lambda x: (
        np.asarray(x, np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else np.asarray(x)
    )
    return jax.tree.map(wide, tree)


def in_float64(operation, case, arguments, cotangents):
    with jax.enable_x64(True):
        wide, cotangents = widened(arguments), widened(cotangents)
        results, gradients, _ = with_gradients(
            operation.reference, operation, case, wide, lambda _: cotangents
        )
        return jax.tree.map(np.asarray, (results, gradients))


def assert_close(measured, exact):
    """Within the rounding of the dtype, relative to the largest element of the array."""
    for x, y in zip(jax.tree.leaves(measured), jax.tree.leaves(exact), strict=True):
        assert x.shape == y.shape
        if x.size == 0:
            continue
        largest = max(1.0, float(np.max(np.abs(y), initial=0, where=np.isfinite(y))))
        tolerance = LAYER if x.dtype == jnp.float32 else HALF
        np.testing.assert_allclose(
            np.asarray(x, np.float64) / largest, np.asarray(y, np.float64) / largest, **tolerance
        )


@pytest.mark.parametrize("operation, case, implementation", RUNS)
def test_value_and_gradients_equal_the_reference_in_float64(operation, case, implementation):
    arguments = drawn(case)
    run = functools.partial(operation.run, implementation=implementation)
    call = lambda *arguments: with_gradients(run, operation, case, arguments)
    results, gradients, cotangents = jax.jit(call)(*arguments)
    exact = in_float64(operation, case, arguments, cotangents)
    assert_close((results, gradients), exact)
    dtypes = jax.eval_shape(functools.partial(operation.reference, **case.options), *arguments)
    assert [x.dtype for x in jax.tree.leaves(results)] == [x.dtype for x in jax.tree.leaves(dtypes)]


FIRST = [
    pytest.param(operation, operation.cases[0], implementation, id=f"{name}-{implementation}")
    for name, operation in OPERATIONS.items()
    for implementation in operation.kernels
]


@pytest.mark.parametrize("operation, case, implementation", FIRST)
def test_programs_may_run_in_any_order(operation, case, implementation):
    """Bit for bit the same; a kernel that adds to what an earlier program wrote is not."""
    arguments = drawn(case)
    run = functools.partial(operation.run, implementation=implementation)
    call = lambda *arguments: with_gradients(run, operation, case, arguments)[:2]
    in_order = jax.jit(call)(*arguments)
    with permuted():
        moved = jax.jit(lambda *arguments: call(*arguments))(*arguments)
    jax.tree.map(np.testing.assert_array_equal, moved, in_order)


@pytest.mark.parametrize("operation, case, implementation", FIRST)
def test_vmap_equals_each_element(operation, case, implementation):
    arguments = [drawn(case), operation.cases[0].arguments(jax.random.key(1))]
    run = functools.partial(operation.run, implementation=implementation)
    call = lambda *arguments: with_gradients(run, operation, case, arguments)[:2]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *arguments)
    mapped = jax.jit(jax.vmap(call))(*stacked)
    one = jax.jit(call)
    for i, each in enumerate(arguments):
        assert_close(jax.tree.map(lambda x, i=i: x[i], mapped), widened(one(*each)))


@pytest.mark.parametrize("operation, case, target", LOWERED)
def test_it_lowers_for_its_accelerator(operation, case, target):
    """Value and gradients; the program has the kernel's custom call and no second one by XLA."""
    arguments = jax.eval_shape(case.arguments, jax.random.key(0))
    run = functools.partial(operation.run, implementation=target)
    ones = functools.partial(jax.tree.map, jnp.ones_like)
    call = lambda *arguments: with_gradients(run, operation, case, arguments, ones)[:2]
    device = AbstractDevice(device_kind="NVIDIA H200", num_cores=132, platform="gpu")
    platform = "tpu" if target == "tpu" else "cuda"
    mesh = AbstractMesh((1,), ("_",), abstract_device=None if target == "tpu" else device)
    with use_abstract_mesh(mesh):
        try:
            traced = jax.jit(call).trace(*arguments)
        except NotImplementedError as reason:  # the default choice goes on to triton
            assert target == "mosaic", reason
            return
        lowered = traced.lower(lowering_platforms=(platform,))
    empty = any(x.size == 0 for x in jax.tree.leaves(arguments))
    assert empty or CALLS[target] in lowered.as_text()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_unknown_implementation_is_refused(name):
    operation = OPERATIONS[name]
    case = operation.cases[0]
    arguments = jax.eval_shape(case.arguments, jax.random.key(0))
    run = functools.partial(operation.run, implementation="cuda", **case.options)
    with pytest.raises(ValueError, match="accepted: reference"):
        jax.eval_shape(run, *arguments)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_default_runs_on_this_machine(name):
    operation = OPERATIONS[name]
    case = operation.cases[0]
    arguments = drawn(case)
    results = jax.jit(functools.partial(operation.run, **case.options))(*arguments)
    with jax.enable_x64(True):
        exact = operation.reference(*widened(arguments), **case.options)
        exact = jax.tree.map(np.asarray, exact)
    assert_close(results, exact)
