"""Kernels that sum products of tiles: a matrix product and what is fused with it.

Program p owns a tile of the result. It walks along the contracted axis in steps k, adds a product
of two tiles to its sums on chip, and writes the result once, after an epilogue:

    sums = 0;  for k: sums += step(tiles of p and k);  finish(sums, tiles of p)

A `Tile` says which part of an array program p sees at step k. On a GPU the steps are a loop in the
program, whose loads Triton runs ahead of the products (`stages`); each tile is loaded by address,
so it may start anywhere. On a TPU the steps are the last axis of the grid, the sums stay in VMEM,
and the tiles are blocks that the hardware copies ahead: a tile starts at a multiple of its size.

A tile of M x N results reads (M + N) K elements for 2 M N K operations. `tiling` chooses sizes as
large as the registers hold, so that the L2 cache feeds the tensor cores. `in_squares` orders the
programs so that those that run at once share rows and columns, and HBM feeds the L2 cache.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.launch import (
    PROCESSORS,
    Block,
    ceil_div,
    ds,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    step_id,
    store,
    when,
)


class Tile(NamedTuple):
    """What a program sees of one array."""

    shape: tuple[int | None, ...]
    """sizes; None drops the axis"""
    start: Callable
    """(place, k) -> index of the first element along each axis"""
    stop: Callable | None = None
    """(place, k) -> along each axis the index where the program's part ends; None: the array's"""


class View:
    """A tile of an array in a program; what lies past the array or past `stop` is masked."""

    def __init__(self, reference, array, tile: Tile, here: tuple, by_address: bool):
        start = tile.start(*here)
        stop = tile.stop(*here) if tile.stop else [None] * len(start)
        self.reference = reference
        self.index = tuple(slice(None) for size in tile.shape if size)
        if by_address:
            self.index = tuple(ds(i, n) if n else i for i, n in zip(start, tile.shape))
        sizes = tuple(n for n in tile.shape if n)
        self.mask, axis = None, 0
        for i, n, end, length in zip(start, tile.shape, stop, array.shape, strict=True):
            if n is None:
                continue
            if end is not None or length % n:
                inside = i + iota(sizes, axis) < (length if end is None else end)
                self.mask = inside if self.mask is None else self.mask & inside
            axis += 1

    def load(self) -> jax.Array:
        """The tile, 0 where it is masked."""
        return load(self.reference, self.index, self.mask, 0)

    def store(self, value: jax.Array):
        """Writes the tile, in the dtype of the array."""
        store(self.reference, self.index, value, self.mask)


class Tiling(NamedTuple):
    """Sizes of the tiles of a product [M, K] x [K, N], and how a GPU runs a program."""

    M: int
    N: int
    K: int
    warps: int
    stages: int


def tiling(M: int, N: int, K: int, dtype, backend: str, products: int = 1) -> Tiling:
    """Tile sizes for arrays of this dtype, and for that many products of this size at once.

    On a GPU a tile has at most 128 x 256 results (128 sums a thread with 8 warps) and 128 bytes of
    K, 256 for few rows. Columns are halved, down to 32, until every multiprocessor has a tile. Few
    rows (decoding) read w once whatever the tiles are: narrow tiles, and a deeper pipeline to hide
    the latency of HBM. float32 is multiplied without tensor cores, in smaller tiles. On a TPU:
    512 x 512 results.
    """
    size = jnp.dtype(dtype).itemsize
    if backend.startswith("tpu"):
        return Tiling(_fit(M, 128, 512), _fit(N, 128, 512), _fit(K, 128, 2048 // size), 4, 2)
    m = max(16, min(64 if size == 4 else 128, power_of_2(M)))
    n = 256 if m == 128 else 128
    while n > 32 and (products * ceil_div(M, m) * ceil_div(N, n) < PROCESSORS or n >= 2 * N):
        n //= 2
    few = m <= 32
    k = min((256 if few else 128) // size, max(32, power_of_2(K)))
    return Tiling(m, n, k, 8 if m * n > 128 * 128 else 4, 5 if few else 4 if size == 1 else 3)


def _fit(length: int, multiple: int, most: int) -> int:
    return min(most, ceil_div(length, multiple) * multiple)


def _over(i, n: int):
    return i // n if isinstance(i, int) else jax.lax.div(i, n)


def in_squares(p, rows: int, columns: int, height: int = 8):
    """Row and column of tile number p in a grid of tiles, in bands of `height` rows.

    Programs that run at once fill a square, whose rows and columns of tiles stay in the L2 cache:
    row by row, every program would read another column of w.
    """
    band, p = jax.lax.div(p, height * columns), jax.lax.rem(p, height * columns)
    high = jnp.minimum(height, rows - band * height)
    return band * height + jax.lax.rem(p, high), jax.lax.div(p, high)


def launch_tiles(
    step: Callable,
    finish: Callable,
    arrays: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    programs: int,
    place: Callable,
    steps: int | Callable,
    reads: Sequence[Tile],
    writes: Sequence[Tile],
    sums: Sequence[jax.ShapeDtypeStruct],
    tiling: Tiling,
    backend: str,
    name: str,
    maps: Sequence[jax.Array] = (),
    last: Callable | None = None,
) -> list[jax.Array]:
    """Runs `finish(sums, *inputs, *outputs)` after the steps of each program.

    `step(*inputs)` returns the addends of the sums; inputs and outputs are Views.
    place: (p, k, *maps) -> what locates program p, such as the row and column of its tile. On a GPU
        it is computed once, with k None.
    maps: int32 arrays [n] that `place` and `last` read, such as the group of every tile.
    steps: steps of every program; on a GPU also (place) -> steps of a program.
    last: on a TPU, (k, *maps) -> is k the last step of its tile of the result, if a program has
        more than one.
    """
    every, tiles = [*arrays, *outputs], [*reads, *writes]
    on_tpu = backend.startswith("tpu")

    def views(references, here):
        pairs = zip(references, every, tiles, strict=True)
        return [View(ref, array, tile, here, not on_tpu) for ref, array, tile in pairs]

    def looped(*references):
        numbers, references = references[: len(maps)], references[len(maps) :]
        at = place(program_id(0), None, *numbers)

        def add(k, totals):
            inputs = views(references, (at, k))[: len(arrays)]
            return tuple(t + x for t, x in zip(totals, step(*inputs), strict=True))

        count = steps(at) if callable(steps) else steps
        zeros = tuple(jnp.zeros(x.shape, x.dtype) for x in sums)
        totals = jax.lax.fori_loop(0, count, add, zeros)
        finish(totals, *views(references, (at, 0)))

    def stepped(*references):
        k, numbers, references = step_id(), references[: len(maps)], references[len(maps) :]
        seen = views(references[: len(every)], (place(program_id(0), k, *numbers), k))
        totals = references[len(every) :]
        ends = last or (lambda k, *_: k == steps - 1)

        @when((k == 0) | ends(jnp.maximum(k - 1, 0), *numbers))
        def _():
            for total in totals:
                total[...] = jnp.zeros(total.shape, total.dtype)

        for total, x in zip(totals, step(*seen[: len(arrays)]), strict=True):
            total[...] += x

        @when(ends(k, *numbers))
        def _():
            finish(tuple(total[...] for total in totals), *seen)

    def whole(array):
        return Block(array.shape, lambda *_: (0,) * array.ndim)

    def block(tile):
        def index(p, k, *numbers):
            start = tile.start(place(p, k, *numbers), k)
            return tuple(_over(i, n) if n else i for i, n in zip(start, tile.shape))

        return Block(tile.shape, index)

    rest = {"grid": (programs,), "backend": backend, "name": name}
    if on_tpu:
        return launch(
            stepped,
            [*maps, *arrays],
            outputs,
            reads=[block(tile) for tile in reads],
            writes=[block(tile) for tile in writes],
            maps=len(maps),
            scratch=sums,
            steps=steps,
            **rest,
        )
    return launch(
        looped,
        [*maps, *arrays],
        outputs,
        reads=[whole(x) for x in (*maps, *arrays)],
        writes=[whole(x) for x in outputs],
        warps=tiling.warps,
        stages=tiling.stages,
        **rest,
    )
