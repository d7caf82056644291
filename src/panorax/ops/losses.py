"""Losses, elementwise: the mean is the caller's."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped


def cross_entropy(logits: Float[Array, "*batch V"], label: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """-log softmax(logits)[label] in nats, in float32."""
    logits = logits.astype(jnp.float32)
    picked = jnp.take_along_axis(logits, label[..., None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - picked


def weighted_mean(x: Shaped[Array, "*shape"], weight: Shaped[Array, "*shape"]) -> Float[Array, ""]:
    """sum(x * weight) / sum(weight), 0 where all weights are 0; in float32."""
    weight = weight.astype(jnp.float32)
    return jnp.sum(x.astype(jnp.float32) * weight) / jnp.maximum(jnp.sum(weight), 1e-30)
