"""Skip-gram with negative sampling, and the matrix that its vectors factorise.

Each word w has a vector v_w and, as a context, a vector u_w. For a pair (w, c) of the corpus and k
words n that are drawn from P(n) ~ #(n)^0.75, the loss is

    -log sigma(u_c v_w) - sum_n log sigma(-u_n v_w)        in nats per pair.

The expected loss of each product u_c v_w alone is least at

    u_c v_w = log(#(w, c) / (#(w) k P(c))),        the mutual information of w and c minus log k

for P(c) ~ #(c). With fewer dimensions than words, the vectors approximate this matrix.
Source: Mikolov et al. 2013, arXiv:1310.4546; Levy & Goldberg 2014 (NeurIPS), section 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from panorax.core.step import descend, update


class Vectors(NamedTuple):
    """Vectors of V words."""

    word: jax.Array
    """vectors of words, (V, D) [v]"""
    context: jax.Array
    """vectors of the same words as contexts, (V, D) [u]"""


def initial(key, size: int, width: int) -> Vectors:
    """Random directions of word vectors, and context vectors of 0, as in word2vec."""
    scale = width**-0.5
    return Vectors(scale * jax.random.normal(key, (size, width)), jnp.zeros((size, width)))


def loss(
    vectors: Vectors,
    word_B: Int[Array, " B"],
    context_B: Int[Array, " B"],
    negative_BK: Int[Array, "B k"],
) -> Float[Array, ""]:
    """Mean loss of B pairs in nats; a negative word that equals the context does not count."""
    v_BD, u_VD = vectors.word[word_B], vectors.context
    positive_B = jnp.sum(v_BD * u_VD[context_B], -1)
    scores_BK = jnp.einsum("bd,bkd->bk", v_BD, u_VD[negative_BK])
    counts_BK = negative_BK != context_B[:, None]
    negative_B = jnp.sum(counts_BK * jax.nn.softplus(scores_BK), -1)
    return jnp.mean(jax.nn.softplus(-positive_B) + negative_B)


def noise(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """P(n) ~ #(n)^power of the negative words, (V,)."""
    weight = counts.astype(np.float64) ** power
    return weight / weight.sum()


def draws(counts: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Negative words drawn from `noise`, an array of `shape`."""
    cumulative = np.cumsum(noise(counts))
    drawn = np.searchsorted(cumulative, cumulative[-1] * rng.random(shape), "right")
    return drawn.astype(np.int32)


def train(
    vectors: Vectors,
    opt,
    pairs: Int[Array, "steps B 2"],
    negatives: Int[Array, "steps B k"],
    tx: optax.GradientTransformation,
) -> tuple[Vectors, optax.OptState, Float[Array, ""]]:
    """One update for each batch of pairs; returns the vectors, the optimiser and the mean loss."""

    def objective(vectors, extra, batch, key):
        pair_B2, negative_BK = batch
        return loss(vectors, pair_B2[:, 0], pair_B2[:, 1], negative_BK), (extra, {})

    def step(carry, batch):
        vectors, opt, _, metrics = update(objective, tx, *carry, (), batch, None)
        return (vectors, opt), metrics["loss"]

    (vectors, opt), losses = jax.lax.scan(step, (vectors, opt), (pairs, negatives))
    return vectors, opt, jnp.mean(losses)


def shifted_information(counts_WC: np.ndarray, noise_C: np.ndarray, k: int) -> np.ndarray:
    """log(#(w, c) / (#(w) k P(c))), (V, V); -inf where a pair does not occur."""
    with np.errstate(divide="ignore"):
        row = counts_WC.sum(1, keepdims=True)
        return np.log(counts_WC) - np.log(k * row * noise_C)


def factorised(counts_WC: np.ndarray, width: int, k: int = 1) -> np.ndarray:
    """Word vectors (V, D) from the positive part of the mutual information minus log k.

    The rows of U_D sqrt(S_D), of the truncated singular value decomposition.
    Source: Levy & Goldberg 2014, section 4.2.
    """
    from scipy.sparse.linalg import svds

    share_C = counts_WC.sum(0) / counts_WC.sum()
    positive = np.maximum(shifted_information(counts_WC, share_C, k), 0)
    u, s, _ = svds(positive, width, rng=0, tol=1e-4)
    return u * np.sqrt(s)


def least_expected_loss(
    key, counts_WC: np.ndarray, noise_C: np.ndarray, k: int, steps: int = 2000
) -> np.ndarray:
    """u_c v_w (V, V) that minimise the expected loss with V dimensions, by `steps` of Adam.

    The expected loss is the sum over pairs of

        #(w, c) softplus(-u_c v_w) + k #(w) P(c) softplus(u_c v_w).
    """
    V, total = len(counts_WC), counts_WC.sum()
    seen = jnp.asarray(counts_WC / total, jnp.float32)
    unseen = jnp.asarray(k * counts_WC.sum(1, keepdims=True) * noise_C / total, jnp.float32)

    def objective(vectors, key):
        x = vectors.word @ vectors.context.T
        return jnp.sum(seen * jax.nn.softplus(-x) + unseen * jax.nn.softplus(x))

    tx = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    keys = jax.random.split(key, steps)
    vectors, _ = descend(objective, tx, initial(key, V, V), keys)
    return np.asarray(vectors.word @ vectors.context.T)
