"""Products of the rows of a group with the matrix of the group: the definition."""

import jax
import jax.numpy as jnp


def reference(x, w, group_sizes) -> jax.Array:
    """y_n = x_n w_e for the row n of group e, in float32 or wider; 0 past the last group."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    stops = jnp.cumsum(group_sizes)

    def add(y, group):
        w_e, start, stop = group
        n = jnp.arange(len(x))[:, None]
        product = jnp.matmul(x.astype(wide), w_e.astype(wide), precision="highest")
        return jnp.where((n >= start) & (n < stop), product, y), None

    y = jnp.zeros((len(x), w.shape[2]), wide)
    return jax.lax.scan(add, y, (w, stops - group_sizes, stops))[0].astype(x.dtype)
