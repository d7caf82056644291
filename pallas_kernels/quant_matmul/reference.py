"""Product with a quantised matrix: the definition."""

import jax
import jax.numpy as jnp

from pallas_kernels.quant_matmul.formats import Quantised, dequantise


def reference(x, w: Quantised) -> jax.Array:
    """x dequantise(w), in float32 or wider; no gradient reaches w."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    frozen = jax.lax.stop_gradient(dequantise(w)).astype(wide)
    return jnp.matmul(x.astype(wide), frozen, precision="highest").astype(x.dtype)
