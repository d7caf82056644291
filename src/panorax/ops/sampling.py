"""Sampling of tokens from logits, with penalties of the text so far and filters.

Each filter sets the logits of excluded tokens to -inf. Penalties read the text so far from
`tokens` (B, S), whose first `length` (B,) tokens in each row count.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from panorax.core.ranges import NonNegative, Positive, PositiveShare, Share, Whole, checked


@checked
class Sampling:
    """Options of sampling, applied in the order of the fields."""

    repetition_penalty: Positive = 1.0
    """divisor of positive logits, and factor of negative ones, for tokens of the text so far"""
    no_repeat_ngram_size: Whole = 0
    """length of the sequences of tokens that are never repeated; 0 allows all"""
    suppress_tokens: tuple[Whole, ...] = ()
    """ids of tokens that are never sampled"""
    temperature: NonNegative = 1.0
    """divisor of the logits; 0 takes the argmax"""
    top_k: Whole = 0
    """number of most probable tokens kept; 0 keeps all"""
    top_p: PositiveShare = 1.0
    """probability mass of the most probable tokens kept; 1 keeps all"""
    min_p: Share = 0.0
    """smallest probability kept, as a share of the largest probability; 0 keeps all"""


def repetition_penalty(
    logits: Float[Array, "B V"], tokens: Int[Array, "B S"], length: Int[Array, " B"], penalty: float
) -> Float[Array, "B V"]:
    """Divides the positive logits of tokens of the text by `penalty`, and multiplies negative ones.

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1.
    """
    seen = _marked(tokens, jnp.arange(tokens.shape[1])[None] < length[:, None], logits.shape[1])
    return jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)


def no_repeat_ngrams(
    logits: Float[Array, "B V"], tokens: Int[Array, "B S"], length: Int[Array, " B"], n: int
) -> Float[Array, "B V"]:
    """Excludes each token that would end a sequence of `n` tokens that the text already has."""
    (B, S), end = tokens.shape, length[:, None]
    row, start = jnp.arange(B)[:, None], jnp.arange(S)[None]
    repeats = start + n <= end  # the sequence that starts here is complete
    for i in range(n - 1):
        last = tokens[row, jnp.maximum(end - (n - 1) + i, 0)]
        repeats &= tokens[row, jnp.minimum(start + i, S - 1)] == last
    repeated = tokens[row, jnp.minimum(start + n - 1, S - 1)]
    return jnp.where(_marked(repeated, repeats, logits.shape[1]), -jnp.inf, logits)


def _marked(tokens: Int[Array, "B S"], counted: Bool[Array, "#B S"], vocab: int):
    """True for the tokens of each row that are `counted`, (B, V)."""
    row = jnp.arange(tokens.shape[0])[:, None]
    return jnp.zeros((tokens.shape[0], vocab), bool).at[row, tokens].max(counted)


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


def penalised(
    logits: Float[Array, "B V"], tokens: Int[Array, "B S"], length: Int[Array, " B"], cfg: Sampling
) -> Float[Array, "B V"]:
    """Logits after the penalties of the text so far, and without suppressed tokens."""
    if cfg.repetition_penalty != 1:
        logits = repetition_penalty(logits, tokens, length, cfg.repetition_penalty)
    if cfg.no_repeat_ngram_size:
        logits = no_repeat_ngrams(logits, tokens, length, cfg.no_repeat_ngram_size)
    if cfg.suppress_tokens:
        logits = logits.at[:, jnp.array(cfg.suppress_tokens)].set(-jnp.inf)
    return logits


def sample(logits: Float[Array, "*batch V"], key: jax.Array, cfg: Sampling) -> Int[Array, "*batch"]:
    """Samples one token per row of logits, after temperature and filters.

    `cfg` is static; unused filters cost nothing.
    """
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
