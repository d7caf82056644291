"""RMS norm: the definition."""

import jax
import jax.numpy as jnp


def reference(x: jax.Array, scale: jax.Array, eps: float = 1e-6) -> jax.Array:
    """x / sqrt(mean(x^2) + eps) * scale over the last axis, in float32 or wider."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x_wide = x.astype(wide)
    normed = x_wide * jax.lax.rsqrt(jnp.mean(jnp.square(x_wide), -1, keepdims=True) + eps)
    return (normed * scale.astype(wide).reshape((1,) * (x.ndim - 1) + scale.shape)).astype(x.dtype)
