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


def total(tree: jax.Array) -> jax.Array:
    """The sum of all weights."""
    return tree[1]


def weight(tree: jax.Array, index_B: jax.Array) -> jax.Array:
    """The weights at these indices."""
    return tree[len(tree) // 2 + index_B]


def update(tree: jax.Array, index_B: jax.Array, weight_B: jax.Array) -> jax.Array:
    """`tree` with these weights, at least 0, at these indices; equal indices have equal weights."""
    node_B = len(tree) // 2 + index_B
    tree = tree.at[node_B].set(weight_B.astype(tree.dtype))
    for _ in range(_levels(tree)):
        node_B //= 2
        tree = tree.at[node_B].set(tree[2 * node_B] + tree[2 * node_B + 1])
    return tree


def find(tree: jax.Array, mass_B: jax.Array) -> jax.Array:
    """The smallest index i with weight_0 + ... + weight_i > mass, for 0 <= mass < total.

    An index of weight 0 is never found, whatever the rounding.
    """
    node_B = jnp.ones(mass_B.shape, jnp.int32)
    for _ in range(_levels(tree)):
        left_B, right_B = tree[2 * node_B], tree[2 * node_B + 1]
        goes_right_B = ((mass_B >= left_B) & (right_B > 0)) | (left_B <= 0)
        mass_B = jnp.where(goes_right_B, mass_B - left_B, mass_B)
        node_B = 2 * node_B + goes_right_B
    return node_B - len(tree) // 2


def draw(tree: jax.Array, key: jax.Array, batch: int) -> jax.Array:
    """`batch` indices, one from each of `batch` equal parts of the total weight."""
    share_B = (jnp.arange(batch) + jax.random.uniform(key, (batch,))) / batch
    return find(tree, share_B * total(tree))


def _levels(tree: jax.Array) -> int:
    return (len(tree) // 2).bit_length() - 1
