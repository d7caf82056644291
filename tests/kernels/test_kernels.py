"""What every kernel keeps: tests walk all operations, their cases and their implementations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, use_abstract_mesh
from jaxlib.mlir.ir import MLIRError

from pallas_kernels import operations, proof
from pallas_kernels.launch import Block, launch, permuted
from panorax.testing.tolerances import HALF, LAYER

OPERATIONS = operations()


def every(cases, implementations):
    """Operation, case and implementation, with names for the report of pytest."""
    return [
        pytest.param(operation, case, implementation, id=f"{name}-{case.name}-{implementation}")
        for name, operation in OPERATIONS.items()
        for case in cases(operation)
        for implementation in implementations(operation)
    ]


small = lambda operation: [case for case in operation.cases if case.size == "small"]
first = lambda operation: operation.cases[:1]
kernels = lambda operation: operation.testable
HOPPER = {
    "llama3 8B, 8k tokens",
    "16k tokens, not causal",
    "heads of 64, 4k tokens",
    "llama3 8B up, 8k tokens",
    "square, float16",
}
"""cases that the Hopper kernels of flash_attention and matmul cover; they refuse all others"""
targets = lambda operation: [t for t in proof.CALLS if t in operation.implementations]


def assert_close(measured, exact):
    """Within the rounding of the dtype, relative to the largest element of the array."""
    for x, y in zip(jax.tree.leaves(measured), jax.tree.leaves(exact), strict=True):
        tolerance = LAYER if x.dtype == jnp.float32 else HALF
        assert x.shape == y.shape and proof.error(x, y) <= tolerance["rtol"]


def assert_same_bits(xs, ys):
    for x, y in zip(jax.tree.leaves(xs), jax.tree.leaves(ys), strict=True):
        np.testing.assert_array_equal(np.ravel(x).view(np.uint8), np.ravel(y).view(np.uint8))


@pytest.mark.parametrize("operation, case, implementation", every(small, kernels))
def test_value_and_gradients_equal_the_reference_in_float64(operation, case, implementation):
    """In every run the same bits."""
    arguments, run = proof.drawn(case), proof.compiled(operation, case, implementation)
    *measured, cotangents = run(*arguments)
    assert_same_bits(run(*arguments), (*measured, cotangents))
    assert_close(measured, proof.exact(operation, case, arguments, cotangents))
    reference = jax.eval_shape(functools.partial(operation.reference, **case.options), *arguments)
    dtypes = lambda tree: [x.dtype for x in jax.tree.leaves(tree)]
    assert dtypes(measured[0]) == dtypes(reference)


@pytest.mark.parametrize("operation, case, implementation", every(first, kernels))
def test_programs_may_run_in_any_order(operation, case, implementation):
    """The same bits; those of a kernel that adds to what an earlier program wrote differ."""
    arguments = proof.drawn(case)
    in_order = proof.measured(operation, case, implementation, arguments)
    with permuted():
        moved = proof.measured(operation, case, implementation, arguments)
    assert_same_bits(moved, in_order)


@pytest.mark.parametrize("operation, case, implementation", every(first, kernels))
def test_vmap_equals_each_element(operation, case, implementation):
    both = [proof.drawn(case), case.arguments(jax.random.key(1))]
    run = functools.partial(operation.run, implementation=implementation)
    call = lambda *arguments: proof.with_gradients(run, operation, case, arguments)[:2]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *both)
    mapped = jax.jit(jax.vmap(call))(*stacked)
    one = jax.jit(call)
    for i, arguments in enumerate(both):
        assert_close(jax.tree.map(lambda x, i=i: x[i], mapped), one(*arguments))


@pytest.mark.parametrize("operation, case, target", every(lambda o: o.cases, targets))
def test_it_lowers_for_its_accelerator(operation, case, target):
    """Value and gradients, with the kernel's custom call; an empty result needs no kernel."""
    arguments = jax.eval_shape(case.arguments, jax.random.key(0))
    arrays = jax.tree.leaves(arguments)
    is_empty = any(x.size == 0 for x in arrays)
    is_refused = {
        "triton": False,
        "mosaic": case.name not in HOPPER,
        "tpu": any(x.dtype == jnp.float16 for x in arrays),
    }
    if is_refused[target] and not is_empty:
        with pytest.raises(NotImplementedError):
            proof.lowered(operation, case, target)
    else:
        assert is_empty or proof.CALLS[target] in proof.lowered(operation, case, target)


def test_an_invalid_module_is_not_lowered():
    """A loop to a bound of another type; jax 0.10 and 0.11 lower it unchecked."""

    def body(x, y):
        count = jnp.where(x[0] > 0, 3, 0)
        y[...] = jax.lax.fori_loop(0, count, lambda _, total: total + x[...], jnp.zeros(8))

    block = Block((8,), lambda i: (i,))
    x = jax.ShapeDtypeStruct((8,), jnp.float32)
    launched = jax.jit(
        lambda x: launch(
            body, [x], [x], grid=(1,), reads=[block], writes=[block], backend="triton", name="loop"
        )
    )
    with use_abstract_mesh(AbstractMesh((1,), ("_",), abstract_device=proof.GPU)):
        lowered = launched.trace(x).lower(lowering_platforms=("cuda",)).as_text()
    with pytest.raises(MLIRError, match="lowerBound, upperBound, step} have same type"):
        proof.verify(lowered)


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
    arguments = proof.drawn(case)
    *measured, cotangents = proof.measured(operation, case, None, arguments)
    assert_close(measured, proof.exact(operation, case, arguments, cotangents))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_cases_of_every_size(name):
    operation = OPERATIONS[name]
    assert {case.size for case in operation.cases} == {"small", "cpu", "gpu"}
    assert len({case.name for case in operation.cases}) == len(operation.cases)
    for case in operation.cases:
        arguments = jax.eval_shape(case.arguments, jax.random.key(0))
        cost = operation.cost(*arguments, **case.options)
        assert cost.flops >= 0 and cost.nbytes >= 0


def test_an_error_is_relative_to_the_largest_element():
    y = np.array([0.0, 200.0, np.inf])
    assert proof.error(np.array([1.0, 200.0, np.inf]), y) == 1 / 200
    assert proof.error(np.array([0.0, 200.0, np.nan]), y) == np.inf
    assert proof.error(np.array([0.0, 200.0, 1.0]), y) == np.inf
    assert proof.error(np.array([0.5]), np.array([0.25])) == 0.25
    assert proof.error(np.array([np.nan]), np.array([np.nan])) == 0
