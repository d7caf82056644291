"""Sum tree: samples indices in proportion to weights that change, in logarithmic time.

The tree is one array: node 1 is the root, node i has the children 2 i and 2 i + 1, and the leaves
are the nodes P .. 2 P - 1 of P >= n weights, P a power of two. An inner node is the sum of its
leaves.
Source: Schaul et al. 2016, arXiv:1511.05952, appendix B.2.1.
"""

import jax
import jax.numpy as jnp


def zeros(n: int) -> jax.Array:
    """The tree of `n` weights 0, float32 (2 P,)."""
    return jnp.zeros(2 * (1 << max(n - 1, 0).bit_length()), jnp.float32)


def update(tree: jax.Array, index_B: jax.Array, weight_B: jax.Array) -> jax.Array:
    """`tree` with these weights, at least 0, at these indices; equal indices have equal weights."""
    leaf_B = len(tree) // 2 + index_B

    def one_level_up(_, carry):
        tree, node_B = carry
        node_B = node_B // 2
        return tree.at[node_B].set(tree[2 * node_B] + tree[2 * node_B + 1]), node_B

    tree = tree.at[leaf_B].set(weight_B.astype(tree.dtype))
    return jax.lax.fori_loop(0, _levels(tree), one_level_up, (tree, leaf_B))[0]


def find(tree: jax.Array, share_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(indices, probabilities) of the leaves at shares of the total weight W, 0 <= share < 1.

    The smallest index i with weight_0 + ... + weight_i > share W, and weight_i / W. An index of
    weight 0 is never found, whatever the rounding. Each level rescales the share to the half that
    it goes to. So nothing but the descent reads the tree, and a later `update` of it in the same
    program works in place: with W = tree[1] XLA copies the tree.
    """

    def one_level_down(_, carry):
        node_B, share_B, p_B = carry
        left_B, right_B = tree[2 * node_B], tree[2 * node_B + 1]
        left_share_B = left_B / (left_B + right_B)
        goes_right_B = ((share_B >= left_share_B) & (right_B > 0)) | (left_B <= 0)
        right_share_B = 1 - left_share_B
        return (
            2 * node_B + goes_right_B,
            jnp.where(
                goes_right_B, (share_B - left_share_B) / right_share_B, share_B / left_share_B
            ),
            p_B * jnp.where(goes_right_B, right_share_B, left_share_B),
        )

    root = jnp.ones(share_B.shape, jnp.int32), share_B, jnp.ones(share_B.shape)
    node_B, _, p_B = jax.lax.fori_loop(0, _levels(tree), one_level_down, root)
    return node_B - len(tree) // 2, p_B


def draw(tree: jax.Array, key: jax.Array, batch: int) -> tuple[jax.Array, jax.Array]:
    """`batch` indices, one from each of `batch` equal parts of the total, and probabilities."""
    share_B = (jnp.arange(batch) + jax.random.uniform(key, (batch,))) / batch
    return find(tree, share_B)


def _levels(tree: jax.Array) -> int:
    return (len(tree) // 2).bit_length() - 1
