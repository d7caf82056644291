"""Rotary position embeddings: the definition."""

import jax
import jax.numpy as jnp


def reference(x_BTHK: jax.Array, position_BT: jax.Array, frequencies: jax.Array) -> jax.Array:
    """Rotates each pair (x_i, x_{i + K/2}) by position * frequency_i, in float32 or wider."""
    wide = jnp.promote_types(x_BTHK.dtype, jnp.float32)
    frequencies = frequencies.reshape(-1, 1, 1, frequencies.shape[-1])
    angle = position_BT[:, :, None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = jnp.split(x_BTHK.astype(wide), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(x_BTHK.dtype)
