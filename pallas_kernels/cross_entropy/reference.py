"""Linear cross-entropy: the definition."""

import jax
import jax.numpy as jnp

from pallas_kernels.soft_cap import soft_cap


def reference(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    *,
    smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore: int | None = -100,
    cap: float | None = None,
) -> jax.Array:
    """Loss of each token from its materialised logits, in float32 or wider."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    logits = jnp.matmul(x, w.astype(x.dtype), preferred_element_type=wide)
    logits = soft_cap(logits, cap)
    lse = jax.nn.logsumexp(logits, -1)
    inside = (labels >= 0) & (labels < w.shape[-1])
    picked = jnp.take_along_axis(logits, jnp.where(inside, labels, 0)[..., None], -1)[..., 0]
    target = (1 - smoothing) * jnp.where(inside, picked, jnp.nan)
    if smoothing:
        target += smoothing * jnp.mean(logits, -1)
    loss = lse - target + z_loss * jnp.square(lse)
    return loss if ignore is None else jnp.where(labels == ignore, 0, loss)


def reference_sum(
    x: jax.Array, w: jax.Array, labels: jax.Array, weights: jax.Array | None = None, **options
) -> jax.Array:
    """sum_t weights_t loss_t; every weight is 1 if there are none."""
    losses = reference(x, w, labels, **options)
    return jnp.sum(losses if weights is None else losses * weights)
