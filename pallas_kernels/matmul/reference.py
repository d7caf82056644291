"""Matrix product with an epilogue: the definition."""

import functools

import jax
import jax.numpy as jnp

ACTIVATIONS = {
    None: lambda z: z,
    "relu": lambda z: jnp.maximum(z, 0),
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
}


def reference(x, w, bias=None, residual=None, *, activation: str | None = None) -> jax.Array:
    """activation(x w + bias) + residual, in float32 or wider; of integers, in int32."""
    whole = jnp.issubdtype(x.dtype, jnp.integer)
    wide = jnp.int32 if whole else jnp.promote_types(x.dtype, jnp.float32)
    y = jnp.matmul(x.astype(wide), w.astype(wide), precision="highest")
    if bias is not None:
        y += bias.astype(wide).reshape((1,) * (y.ndim - 1) + bias.shape)
    y = ACTIVATIONS[activation](y)
    y = y if residual is None else y + residual.astype(wide)
    return y if whole else y.astype(x.dtype)
