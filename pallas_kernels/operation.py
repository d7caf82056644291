"""What tests, benchmarks and roofline plots know of an operation: its cases and its cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp


class Cost(NamedTuple):
    """What one call must do at least, whatever the implementation."""

    flops: float
    """floating-point operations, two per multiply-add"""
    nbytes: float
    """bytes of arguments read once and of results written once"""


@dataclass(frozen=True)
class Case:
    """The arguments of one call: what tests, benchmarks and tuning run."""

    name: str
    """the model or the difficulty, such as "llama3 8B, 8k tokens" or "odd width" """
    arguments: Callable[[jax.Array], tuple]
    """key -> positional arguments, random values"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """keyword arguments"""
    size: Literal["small", "cpu", "gpu"] = "small"
    """"small" runs in an interpreter; "cpu" and "gpu" are timed there, and exceed all caches where
    memory is the limit"""


@dataclass(frozen=True)
class Operation:
    """An operation with everything that checks or times it."""

    run: Callable
    """(*arguments, implementation=..., **options) -> result"""
    reference: Callable
    """(*arguments, **options) -> result: the definition"""
    implementations: tuple[str, ...]
    """accepted names"""
    cases: tuple[Case, ...]
    """small ones that tests run, at least one for a CPU, and those of models for a GPU"""
    cost: Callable[..., Cost]
    """(*arguments, **options) -> Cost of the forward pass; reads only shapes and dtypes"""
    differentiable: tuple[int, ...] = (0,)
    """positions of the arguments that have a gradient"""
    passes: int = 3
    """work of a forward and backward pass, in forward passes; 3 for a matrix product"""

    @property
    def testable(self) -> tuple[str, ...]:
        """Implementations that a test can run here: xla, and portable kernels interpreted.

        Mosaic's interpreter needs jax 0.11 and whole tiles; such kernels have tests of their own.
        """
        return tuple(
            name
            for name in self.implementations
            if name == "xla" or (name.endswith("_interpreted") and not name.startswith("mosaic"))
        )


def normal(*shapes: tuple[int, ...], dtype=jnp.float32) -> Callable[[jax.Array], tuple]:
    """Arguments of these shapes with standard normal values."""

    def arguments(key):
        keys = jax.random.split(key, len(shapes))
        return tuple(
            jax.random.normal(k, shape).astype(dtype) for k, shape in zip(keys, shapes, strict=True)
        )

    return arguments


def size(*arrays) -> int:
    """Bytes of all arrays."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(arrays))
