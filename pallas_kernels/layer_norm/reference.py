"""Layer norm: the definition."""

import jax
import jax.numpy as jnp


def reference(x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float = 1e-6) -> jax.Array:
    """(x - mean) / sqrt(var + eps) * scale + bias over the last axis, in float32 or wider."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x_wide = x.astype(wide)
    centred = x_wide - jnp.mean(x_wide, -1, keepdims=True)
    normed = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), -1, keepdims=True) + eps)
    last = lambda v: v.astype(wide).reshape((1,) * (x.ndim - 1) + v.shape)
    return (normed * last(scale) + last(bias)).astype(x.dtype)
