"""Which rows a tile of a ragged array has.

A group of s rows has ceil(s / B) tiles of B rows, and an empty group has one. Their number, at most
N / B + E, depends on the sizes; T = N // B + E tiles are launched, and the last ones have no row.

    group_sizes 3, 0, 6 and B = 4:      x     a a a c c c c c c
                                    tiles     a a a .   . . . .   c c c c   c c . .   . . . .
                                    group     0         1         2         2         2
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Layout(NamedTuple):
    """Rows and group of every tile; int32 arrays."""

    group: jax.Array
    """[T], ascending; every group occurs"""
    first: jax.Array
    """first row of the tile [T]"""
    stop: jax.Array
    """row after the last row of the tile's group [T]"""
    rows: jax.Array
    """first row of each group, and after the last group [E + 1]"""
    tiles: jax.Array
    """first tile of each group, and after the last group [E + 1]"""


def layout(group_sizes: jax.Array, N: int, B: int) -> Layout:
    """Tiles of B rows for groups of these sizes [E] in N rows; rows past N are no rows."""
    E = len(group_sizes)
    starts = lambda sizes: jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(sizes)])
    rows = jnp.minimum(starts(group_sizes.astype(jnp.int32)), N).astype(jnp.int32)
    tiles = starts(jnp.maximum(1, -(-(rows[1:] - rows[:-1]) // B))).astype(jnp.int32)
    t = jnp.arange(N // B + E, dtype=jnp.int32)
    group = jnp.minimum(jnp.searchsorted(tiles[1:], t, side="right"), E - 1).astype(jnp.int32)
    return Layout(group, rows[group] + (t - tiles[group]) * B, rows[group + 1], rows, tiles)


def padded(x: jax.Array, of: Layout, B: int) -> jax.Array:
    """The rows of x [N, D] tile by tile [T B, D], 0 where a tile has no row."""
    row = of.first[:, None] + jnp.arange(B, dtype=jnp.int32)[None]
    row = jnp.where(row < of.stop[:, None], row, len(x)).reshape(-1)
    return jnp.take(x, row, axis=0, mode="fill", fill_value=0)


def unpadded(tiles: jax.Array, of: Layout, N: int, B: int) -> jax.Array:
    """The rows [N, F] of an array tile by tile [T B, F]; 0 past the last group."""
    n = jnp.arange(N, dtype=jnp.int32)
    group = jnp.searchsorted(of.rows[1:], n, side="right")
    place = of.tiles[group] * B + n - of.rows[group]
    place = jnp.where(n < of.rows[-1], place, len(tiles))
    return jnp.take(tiles, place, axis=0, mode="fill", fill_value=0)
