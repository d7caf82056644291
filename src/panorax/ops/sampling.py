"""Choosing a token from logits: temperature, then top-k, top-p and min-p as masks on the logits, then a draw."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core.ranges import NonNegative, PositiveShare, Share, Whole, checked


@checked
class Sampling:
    """temperature 0 is greedy; top_k 0, top_p 1 and min_p 0 leave everything in."""

    temperature: NonNegative = 1.0
    top_k: Whole = 0
    top_p: PositiveShare = 1.0
    min_p: Share = 0.0


def top_k(logits: Float[Array, "*batch V"], k: int) -> Float[Array, "*batch V"]:
    """-inf below the k-th largest logit; ties with it are kept."""
    kth = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits < kth, -jnp.inf, logits)


def top_p(logits: Float[Array, "*batch V"], p: float) -> Float[Array, "*batch V"]:
    """-inf outside the smallest set of most probable tokens whose mass reaches p, the token that crosses p included (Holtzman et al. 2020)."""
    descending = jnp.flip(jnp.sort(logits, -1), -1)
    mass_before = jnp.cumsum(jax.nn.softmax(descending, -1), -1) - jax.nn.softmax(descending, -1)
    threshold = jnp.min(jnp.where(mass_before < p, descending, jnp.inf), -1, keepdims=True)
    return jnp.where(logits < threshold, -jnp.inf, logits)


def min_p(logits: Float[Array, "*batch V"], p: float) -> Float[Array, "*batch V"]:
    """-inf where the probability is below p times the largest (Nguyen et al. 2024)."""
    return jnp.where(logits < jnp.max(logits, -1, keepdims=True) + jnp.log(p), -jnp.inf, logits)


def sample(logits: Float[Array, "*batch V"], key: jax.Array, cfg: Sampling) -> Int[Array, "*batch"]:
    """A token per row of logits; `cfg` is static, and filters that leave everything in cost nothing."""
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
