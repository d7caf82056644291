"""Kernels that work row by row: each program holds whole rows on chip.

An operation along the last axis (softmax, a norm) reads a row from HBM once, computes in registers
or VMEM, and writes a row once. Unfused, each step of the formula would read and write HBM. Arrays
are [N, D]: program i has the rows i R .. i R + R - 1. An array [1, D], such as a scale, is the same
for every program. An elementwise operation needs no whole rows: its programs see tiles of the rows.

The block of a row has W elements, the next power of two on a GPU and the next multiple of 128 on a
TPU. Elements past D and rows past N are masked: `Rows.load` replaces them by a neutral value.

A sum over all rows, such as the gradient of a scale, crosses programs, which run at once. So each
program adds up its own rows, and XLA adds the partial sums [programs, D] of all programs. On a GPU
a program then goes through many blocks of R rows one after another: partial sums of every block
would be as much traffic as the rows.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from pallas_kernels.launch import (
    EVERY,
    PROCESSORS,
    Block,
    ceil_div,
    ds,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    store,
)

WIDEST = 65_536  # elements of a row that a program holds; its float32 fills an SM's registers
HELD = 4_096  # elements of a block on a GPU, if rows are narrow: 16 for each of 256 threads
HELD_TPU = 65_536  # the same on a TPU: 256 kB of VMEM in float32
PROGRAMS = 2 * PROCESSORS  # programs that sum over rows on a GPU


class Rows:
    """Rows of one array that a program sees."""

    def __init__(self, reference, rows, valid: jax.Array):
        self.reference, self.here, self.valid = reference, (rows, slice(None)), valid

    def load(self, fill: float = 0.0) -> jax.Array:
        """The rows as float32 [R, W], with `fill` outside the array."""
        return load(self.reference, self.here, self.valid, fill).astype(jnp.float32)

    def store(self, value: jax.Array):
        """Writes the rows, in the dtype of the array."""
        store(self.reference, self.here, value, self.valid)


def launch_rows(
    body: Callable,
    arrays: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    backend: str,
    name: str,
    sums: int = 0,
    tile: int | None = None,
) -> list[jax.Array]:
    """Runs `body(*input_rows, *output_rows)` of type Rows on blocks of rows of [N, D] arrays.

    An input [1, D] is given to every program.
    sums: number of arrays [R, W] that `body` returns. Their sums over all N rows, float32 [D],
        follow the outputs in the result.
    tile: columns that a program of an elementwise operation sees; None for whole rows.
    Raises NotImplementedError for rows above WIDEST elements.
    """
    N, D = arrays[0].shape
    W = _padded(min(D, tile or D), backend)
    if W > WIDEST:
        raise NotImplementedError(f"{name} holds rows of at most {WIDEST} elements, not {D}")
    if 0 in (N, D):
        return [jnp.zeros(x.shape, x.dtype) for x in outputs] + [jnp.zeros(D)] * sums
    if backend.startswith("tpu"):  # Mosaic spreads a row over others if its numbers have 32 bits
        arrays = [x if x.shape[0] == N else x.astype(jnp.float32) for x in arrays]
    R, L = _rows_and_blocks(N, W, sums, backend)
    programs = ceil_div(N, R * L)
    every = (*arrays, *outputs)
    partial = [jax.ShapeDtypeStruct((programs, 1, D), jnp.float32)] * sums

    def block(x) -> Block:
        if x.shape[0] == N:
            return Block((R * L, W), lambda i, j: (i, j))
        return Block((1, W), lambda i, j: (0, j))

    def traced(*references):
        first, inside = program_id(0) * L * R, program_id(1) * W + iota((1, W), 1) < D

        def step(block, totals):
            rows = ds(block * R, R) if L > 1 else slice(None)
            valid = inside & (first + block * R + iota((R, W), 0) < N)
            terms = body(
                *(
                    Rows(reference, rows, valid)
                    if x.shape[0] == N
                    else Rows(reference, slice(None), inside)
                    for reference, x in zip(references, every)
                )
            )
            return tuple(
                total + jnp.where(valid, term, 0)
                for total, term in zip(totals, terms or (), strict=True)
            )

        totals = (jnp.zeros((R, W), jnp.float32),) * sums
        totals = jax.lax.fori_loop(0, L, step, totals) if L > 1 else step(0, totals)
        for reference, total in zip(references[len(every) :], totals, strict=True):
            total = jnp.sum(total, 0, keepdims=True)
            store(reference, EVERY, total, inside)

    (*results,) = launch(
        traced,
        arrays,
        [*outputs, *partial],
        grid=(programs, ceil_div(D, W)),
        reads=[block(x) for x in arrays],
        writes=[
            *(block(x) for x in outputs),
            *[Block((None, 1, W), lambda i, j: (i, 0, j))] * sums,
        ],
        backend=backend,
        name=name,
        warps=max(1, min(16, R * W // 512)),
    )
    kept = len(outputs)
    return results[:kept] + [jnp.sum(x, (0, 1)) for x in results[kept:]]


def as_rows(x: jax.Array) -> jax.Array:
    """The array with its leading axes flattened, [N, D]."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def check_vectors(x: jax.Array, **vectors: jax.Array):
    """Raises ValueError unless each of these arrays has the shape [D] of the last axis of x."""
    for name, vector in vectors.items():
        if vector.shape != x.shape[-1:]:
            raise ValueError(f"{name} has the shape {vector.shape}; accepted: {x.shape[-1:]}")


def _rows_and_blocks(N: int, W: int, sums: int, backend: str) -> tuple[int, int]:
    """Rows of a block, and blocks of a program.

    As many rows as a program holds: a power of two on a GPU, a multiple of its tile of 8 on a TPU.
    """
    if backend.startswith("tpu"):
        return max(8, min(HELD_TPU // W, power_of_2(N)) // 8 * 8), 1
    R = max(1, min(HELD // W, power_of_2(N)))
    return R, ceil_div(ceil_div(N, R), PROGRAMS) if sums else 1


def _padded(width: int, backend: str) -> int:
    return ceil_div(width, 128) * 128 if backend.startswith("tpu") else power_of_2(width)
