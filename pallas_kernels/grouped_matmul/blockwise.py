"""Products of ragged rows with the matrices of experts, tile by tile in jax.numpy.

Memory is linear in the arguments: `jax.lax.ragged_dot` on a CPU multiplies all rows with every
expert.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.grouped_matmul.layout import layout, padded, unpadded

B = 64
"""rows of a tile"""


def rows_by_experts(x, w, group_sizes, *, transpose: bool = False) -> jax.Array:
    """y_n = x_n w_e for the row n of group e, or x_n w_e^T; 0 past the last group [N, F]."""
    of = layout(group_sizes, len(x), B)

    def multiply(tile):
        rows, group = tile
        of_group = jax.lax.dynamic_index_in_dim(w, group, keepdims=False)
        return _dot(rows, of_group, (1, 1 if transpose else 0)).astype(x.dtype)

    y = jax.lax.map(multiply, (padded(x, of, B).reshape(-1, B, x.shape[1]), of.group))
    return unpadded(y.reshape(-1, y.shape[-1]), of, len(x), B)


def rows_into_experts(x, dy, group_sizes) -> jax.Array:
    """dw_e = x_e^T dy_e, the sum over the rows of group e [E, D, F]; 0 for an empty group."""
    of = layout(group_sizes, len(x), B)
    tiles = [padded(rows, of, B).reshape(-1, B, rows.shape[1]) for rows in (x, dy)]

    def total(e):
        add = lambda t, dw: dw + _dot(tiles[0][t], tiles[1][t], (0, 0))
        zeros = jnp.zeros((x.shape[1], dy.shape[1]), jnp.float32)
        return jax.lax.fori_loop(of.tiles[e], of.tiles[e + 1], add, zeros).astype(x.dtype)

    return jax.lax.map(total, jnp.arange(len(group_sizes)))


def _dot(a, b, contract):
    axes = (((contract[0],), (contract[1],)), ((), ()))
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)
