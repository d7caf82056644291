"""Kernels that work row by row: each program holds whole rows on chip.

An operation along the last axis (softmax, a norm, a gate) reads a row from HBM once, computes in
registers or VMEM, and writes a row once. Unfused, each step of the formula would read and write
HBM. Arrays are [N, D]: program i has the rows i R .. i R + R - 1. An array [1, D], such as a scale,
is the same for every program.

The block of a row has W elements, the next power of two on a GPU and the next multiple of 128 on a
TPU. Elements past D and rows past N are masked: `Rows.load` replaces them by a neutral value.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from pallas_kernels.launch import (
    Block,
    ceil_div,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    store,
)

WIDEST = 65_536  # elements of a row that the registers of one GPU program hold
HELD = 4_096  # elements of a program, if its rows are narrow


class Rows:
    """Rows of one array that a program sees."""

    def __init__(self, reference, valid: jax.Array):
        self.reference, self.valid = reference, valid

    def load(self, fill: float = 0.0) -> jax.Array:
        """The rows as float32 [R, W], with `fill` outside the array."""
        here = (slice(None), slice(None))
        return load(self.reference, here, self.valid, fill).astype(jnp.float32)

    def store(self, value: jax.Array):
        """Writes the rows, in the dtype of the array."""
        store(self.reference, (slice(None), slice(None)), value, self.valid)


def launch_rows(
    body: Callable,
    arrays: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    backend: str,
    name: str,
) -> list[jax.Array]:
    """Runs `body(*input_rows, *output_rows)` of type Rows on blocks of rows of [N, D] arrays.

    An input [1, D] is given to every program. An output [programs, 1, D], with `programs(arrays,
    backend)`, has one row for each program, such as a partial sum over its rows.
    Raises NotImplementedError for rows above WIDEST elements.
    """
    every = (*arrays, *outputs)
    N, R = arrays[0].shape[0], _rows_per_program(arrays, backend)
    widest = max(x.shape[-1] for x in every)
    if widest > WIDEST:
        raise NotImplementedError(f"{name} holds rows of {WIDEST} elements, not {widest}")
    if 0 in arrays[0].shape:
        return [jnp.zeros(x.shape, x.dtype) for x in outputs]

    def block(x) -> Block:
        W = _padded(x.shape[-1], backend)
        if x.ndim == 3:
            return Block((None, 1, W), lambda i: (i, 0, 0))
        return (
            Block((R, W), lambda i: (i, 0)) if x.shape[0] == N else Block((1, W), lambda i: (0, 0))
        )

    def traced(*references):
        first = program_id(0) * R
        body(*(Rows(ref, _valid(ref.shape, x, N, first)) for ref, x in zip(references, every)))

    return launch(
        traced,
        arrays,
        outputs,
        grid=(programs(arrays, backend),),
        reads=[block(x) for x in arrays],
        writes=[block(x) for x in outputs],
        backend=backend,
        name=name,
        warps=max(1, min(16, R * _padded(widest, backend) // 512)),
    )


def as_rows(x: jax.Array) -> jax.Array:
    """The array with its leading axes flattened, [N, D]."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def programs(arrays: Sequence[jax.Array], backend: str) -> int:
    """Programs of the grid."""
    return ceil_div(arrays[0].shape[0], _rows_per_program(arrays, backend))


def _rows_per_program(arrays, backend: str) -> int:
    """As many rows as a program holds, a power of two; on a TPU at least its tile of 8."""
    fewest = 8 if backend.startswith("tpu") else 1
    return max(fewest, min(16, HELD // max(_padded(x.shape[-1], backend) for x in arrays)))


def _padded(width: int, backend: str) -> int:
    return ceil_div(width, 128) * 128 if backend.startswith("tpu") else power_of_2(width)


def _valid(block: tuple[int, int], x, N: int, first) -> jax.Array:
    """True for the elements of the block that lie in the array."""
    valid = iota(block, 1) < x.shape[-1]
    return valid & (first + iota(block, 0) < N) if x.ndim == 2 and x.shape[0] == N else valid
