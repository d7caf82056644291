"""Sampling of tokens from logits, with temperature, top-k, top-p and min-p.

Each filter sets the logits of excluded tokens to -inf.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core.ranges import NonNegative, PositiveShare, Share, Whole, checked


@checked
class Sampling:
    """Options of sampling, applied in the order of the fields."""

    temperature: NonNegative = 1.0
    """divisor of the logits; 0 takes the argmax"""
    top_k: Whole = 0
    """number of most probable tokens kept; 0 keeps all"""
    top_p: PositiveShare = 1.0
    """probability mass of the most probable tokens kept; 1 keeps all"""
    min_p: Share = 0.0
    """smallest probability kept, as a share of the largest probability; 0 keeps all"""


def top_k(logits: Float[Array, "*batch V"], k: int) -> Float[Array, "*batch V"]:
    """Keeps the k largest logits and ties with the k-th."""
    kth = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits < kth, -jnp.inf, logits)


def top_p(logits: Float[Array, "*batch V"], p: float) -> Float[Array, "*batch V"]:
    """Keeps the smallest set of most probable tokens whose mass reaches p.

    Source: Holtzman et al. 2020.
    """
    descending = jnp.flip(jnp.sort(logits, -1), -1)
    mass_before = jnp.cumsum(jax.nn.softmax(descending, -1), -1) - jax.nn.softmax(descending, -1)
    threshold = jnp.min(jnp.where(mass_before < p, descending, jnp.inf), -1, keepdims=True)
    return jnp.where(logits < threshold, -jnp.inf, logits)


def min_p(logits: Float[Array, "*batch V"], p: float) -> Float[Array, "*batch V"]:
    """Keeps tokens with at least p times the largest probability. Source: Nguyen et al. 2024."""
    threshold = jnp.max(logits, -1, keepdims=True) + jnp.log(p)
    return jnp.where(logits < threshold, -jnp.inf, logits)


def sample(logits: Float[Array, "*batch V"], key: jax.Array, cfg: Sampling) -> Int[Array, "*batch"]:
    """Samples one token per row of logits. `cfg` is static; unused filters cost nothing."""
    if cfg.temperature == 0:
        return jnp.argmax(logits, -1)
    logits = logits.astype(jnp.float32) / cfg.temperature
    if cfg.top_k:
        logits = top_k(logits, cfg.top_k)
    if cfg.top_p < 1:
        logits = top_p(logits, cfg.top_p)
    if cfg.min_p:
        logits = min_p(logits, cfg.min_p)
    return jax.random.categorical(key, logits)
