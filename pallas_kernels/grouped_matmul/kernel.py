"""Products of ragged rows with the matrices of experts: the kernels for Triton and TPU."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.grouped_matmul.layout import layout, padded, unpadded
from pallas_kernels.launch import ceil_div, dot
from pallas_kernels.tiles import Tile, in_squares, launch_tiles, tiling


class Place(NamedTuple):
    """Tile of rows of a group, and of columns."""

    group: jax.Array
    row: jax.Array
    """first row"""
    stop: jax.Array
    """row after the last row of the group"""
    column: jax.Array | tuple[jax.Array, jax.Array]
    """first column; of a matrix, first row and column"""


def rows_by_experts(x, w, group_sizes, backend: str, *, transpose: bool = False) -> jax.Array:
    """y_n = x_n w_e for the row n of group e, or x_n w_e^T; 0 past the last group [N, F].

    On a GPU a tile starts at any row, and its last rows are masked. The rows past the last group
    are a group of their own, which makes no step. On a TPU a tile starts at a multiple of its size:
    the rows are copied so that each group starts a tile.
    """
    (N, K), E, F = x.shape, len(w), w.shape[1 if transpose else 2]
    size = tiling(ceil_div(N, E), F, K, x.dtype, backend, E)
    on_tpu, steps = backend.startswith("tpu"), ceil_div(K, size.K)
    if on_tpu:
        of = layout(group_sizes, N, size.M)
        x = padded(x, of, size.M)
    else:
        rest = N - jnp.sum(group_sizes, keepdims=True)
        of = layout(jnp.concatenate([group_sizes, jnp.maximum(rest, 0)]), N, size.M)
    tiles, columns = len(of.group), ceil_div(F, size.N)

    def place(p, k, group, first, stop):
        t, n = in_squares(p, tiles, columns)
        return Place(group[t], t * size.M if on_tpu else first[t], stop[t], n * size.N)

    def of_w(at, k):
        e, d = jnp.minimum(at.group, E - 1), k * size.K
        return (e, at.column, d) if transpose else (e, d, at.column)

    stop = None if on_tpu else lambda at, k: (at.stop, None)
    contract = (1, 1 if transpose else 0)
    (y,) = launch_tiles(
        lambda x, w: (dot(x.load(), w.load(), contract),),
        lambda sums, x, w, y: y.store(sums[0]),
        [x, w],
        [jax.ShapeDtypeStruct((len(x), F), x.dtype)],
        programs=tiles * columns,
        place=place,
        steps=steps if on_tpu else lambda at: steps * (at.group < E).astype(jnp.int32),
        reads=[
            Tile((size.M, size.K), lambda at, k: (at.row, k * size.K), stop),
            Tile((None, size.N, size.K) if transpose else (None, size.K, size.N), of_w),
        ],
        writes=[Tile((size.M, size.N), lambda at, k: (at.row, at.column), stop)],
        sums=[jax.ShapeDtypeStruct((size.M, size.N), jnp.float32)],
        tiling=size,
        maps=[of.group, of.first, of.stop],
        backend=backend,
        name="grouped_matmul",
    )
    return unpadded(y, of, N, size.M) if on_tpu else y


def rows_into_experts(x, dy, group_sizes, backend: str) -> jax.Array:
    """dw_e = x_e^T dy_e, the sum over the rows of group e [E, D, F]; 0 for an empty group.

    A program owns a tile of one dw_e. On a GPU it walks along the rows of the group, as many steps
    as it has tiles of rows. On a TPU it walks along the tiles of all groups, and starts anew with
    each group.
    """
    (N, D), F, E = x.shape, dy.shape[1], len(group_sizes)
    size = tiling(D, F, ceil_div(N, E), x.dtype, backend, E)
    on_tpu = backend.startswith("tpu")
    of = layout(group_sizes, N, size.K)
    if on_tpu:
        x, dy = padded(x, of, size.K), padded(dy, of, size.K)
    high, wide = ceil_div(D, size.M), ceil_div(F, size.N)

    def place(p, k, *maps):
        e, p = jax.lax.div(p, high * wide), jax.lax.rem(p, high * wide)
        m, n = in_squares(p, high, wide)
        if on_tpu:
            group, _ = maps
            return Place(group[k], k * size.K, None, (m * size.M, n * size.N))
        (rows,) = maps
        return Place(e, rows[e], rows[e + 1], (m * size.M, n * size.N))

    def of_rows(columns: int, i: int) -> Tile:
        stop = None if on_tpu else lambda at, k: (at.stop, None)
        row = lambda at, k: at.row if on_tpu else at.row + k * size.K
        return Tile((size.K, columns), lambda at, k: (row(at, k), at.column[i]), stop)

    ends = jnp.concatenate([of.group[1:] != of.group[:-1], jnp.ones(1, bool)])
    (dw,) = launch_tiles(
        lambda x, dy: (dot(x.load(), dy.load(), (0, 0)),),
        lambda sums, x, dy, dw: dw.store(sums[0]),
        [x, dy],
        [jax.ShapeDtypeStruct((E, D, F), x.dtype)],
        programs=high * wide * (1 if on_tpu else E),
        place=place,
        steps=len(of.group) if on_tpu else lambda at: ceil_div(at.stop - at.row, size.K),
        reads=[of_rows(size.M, 0), of_rows(size.N, 1)],
        writes=[Tile((None, size.M, size.N), lambda at, k: (at.group, *at.column))],
        sums=[jax.ShapeDtypeStruct((size.M, size.N), jnp.float32)],
        tiling=size,
        maps=[of.group, ends.astype(jnp.int32)] if on_tpu else [of.rows],
        last=(lambda k, group, ends: ends[k] == 1) if on_tpu else None,
        backend=backend,
        name="grouped_matmul_dw",
    )
    return dw
