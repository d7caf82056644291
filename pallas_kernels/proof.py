"""How an implementation is proven: against the definition in float64, and by lowering it.

A kernel runs under its interpreter on any machine. There, memory that nothing has written is NaN.
It is compared with the reference in float64 on the same arguments, so that an error of the
reference in float32 cannot hide an error of the kernel.
"""

import functools
import re
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from jaxlib.mlir import ir
from jaxlib.triton import dialect as triton

from pallas_kernels.launch import PROCESSORS
from pallas_kernels.operation import Case, Operation

CALLS = {"triton": "__gpu$xla.gpu.triton", "mosaic": "mosaic_gpu_v2", "tpu": "tpu_custom_call"}
"""custom call of the program that each kind of kernel lowers to"""
GPU = AbstractDevice(device_kind="NVIDIA H200", num_cores=PROCESSORS, platform="gpu")


def drawn(case: Case) -> tuple:
    """Random arguments of a case, always the same."""
    return case.arguments(jax.random.key(zlib.crc32(case.name.encode())))


def random_like(tree):
    """Random normal arrays of the shapes and dtypes of a tree, always the same."""
    draw = np.random.default_rng(1).normal
    return jax.tree.map(lambda y: np.asarray(draw(size=y.shape), y.dtype), tree)


def with_gradients(
    run: Callable, operation: Operation, case: Case, arguments: tuple, cotangents=random_like
) -> tuple:
    """Results, the gradients of the differentiable arguments, and the cotangents.

    Arguments of integers have no gradient.  cotangents: results -> their cotangents.
    """
    run = functools.partial(run, **case.options)
    positions = [i for i in operation.differentiable if _is_floating(arguments[i])]
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


def _is_floating(tree) -> bool:
    return all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(tree))


def compiled(operation: Operation, case: Case, implementation: str) -> Callable:
    """arguments -> `with_gradients` of an implementation, compiled at the first call."""
    run = functools.partial(operation.run, implementation=implementation)
    return jax.jit(lambda *arguments: with_gradients(run, operation, case, arguments))


def measured(operation: Operation, case: Case, implementation: str, arguments: tuple) -> tuple:
    """`with_gradients` of an implementation, compiled."""
    return compiled(operation, case, implementation)(*arguments)


def exact(operation: Operation, case: Case, arguments: tuple, cotangents) -> tuple:
    """Results and gradients of the reference in float64."""
    with jax.enable_x64(True):
        arguments, cotangents = widened(arguments), widened(cotangents)
        results, gradients, _ = with_gradients(
            operation.reference, operation, case, arguments, lambda _: cotangents
        )
        return jax.tree.map(np.asarray, (results, gradients))


def widened(tree):
    """The tree as numpy arrays, floating-point numbers as float64."""
    wide = lambda x: x.astype(np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    return jax.tree.map(lambda x: wide(np.asarray(x)), tree)


def error(x, y) -> float:
    """Largest difference of two arrays, over the largest element of y, or 1 if that is larger.

    Infinite elements must be equal; NaN in one array only is an infinite error.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    scale = max(1.0, float(np.max(np.abs(y), initial=0, where=np.isfinite(y))))
    difference = np.where(same, 0, np.abs(np.where(same, 0, x) - np.where(same, 0, y)))
    return float(np.max(np.nan_to_num(difference, nan=np.inf, posinf=np.inf), initial=0)) / scale


def errors(operation: Operation, case: Case, implementation: str) -> tuple[float, float]:
    """Largest `error` of the results and of the gradients of an implementation."""
    arguments = drawn(case)
    results, gradients, cotangents = measured(operation, case, implementation, arguments)
    largest = lambda tree, of: max(
        (error(x, y) for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(of), strict=True)),
        default=0.0,
    )
    of_results, of_gradients = exact(operation, case, arguments, cotangents)
    return largest(results, of_results), largest(gradients, of_gradients)


def lowered(operation: Operation, case: Case, target: str) -> str:
    """The program of results and gradients for "triton", "mosaic" or "tpu", as text, verified.

    Nothing runs and no accelerator is needed.
    """
    arguments = jax.eval_shape(case.arguments, jax.random.key(0))
    run = functools.partial(operation.run, implementation=target)
    ones = functools.partial(jax.tree.map, jnp.ones_like)
    call = lambda *arguments: with_gradients(run, operation, case, arguments, ones)[:2]
    mesh = AbstractMesh((1,), ("_",), abstract_device=None if target == "tpu" else GPU)
    platform = "tpu" if target == "tpu" else "cuda"
    with use_abstract_mesh(mesh):
        traced = jax.jit(call).trace(*arguments)
        program = traced.lower(lowering_platforms=(platform,)).as_text()
    verify(program)
    return program


def verify(program: str):
    """Parses the modules in Triton of a lowered program, as the GPU's compiler does first.

    jax writes them unchecked. Raises `jaxlib.mlir.ir.MLIRError` for one that breaks a rule of its
    dialect, such as a loop whose bounds differ in type; interpreters overlook it.
    """
    with ir.Context() as context:
        triton.register_dialect(context)
        context.load_all_available_dialects()
        context.allow_unregistered_dialects = True  # that of barriers
        for module in re.findall(r'\bir = "([^"]*)"', program):
            ir.Module.parse(unescaped(module))


def unescaped(text: str) -> bytes:
    """The bytes that MLIR writes as a string, some as a backslash and two hexadecimal digits."""
    byte = lambda found: b"\\" if found[1] == b"\\" else bytes.fromhex(found[1].decode())
    return re.sub(rb"\\(\\|[0-9A-F]{2})", byte, text.encode())
