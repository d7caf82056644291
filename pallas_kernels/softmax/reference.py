"""Softmax: the definition."""

import jax
import jax.numpy as jnp


def reference(x: jax.Array) -> jax.Array:
    """e^(x - max x) / sum e^(x - max x) over the last axis, in float32 or wider."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    e = jnp.exp(wide - jnp.max(wide, -1, keepdims=True, initial=-jnp.inf))
    return (e / jnp.sum(e, -1, keepdims=True)).astype(x.dtype)
