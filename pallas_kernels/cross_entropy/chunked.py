"""Linear cross-entropy in chunks of tokens: the blockwise XLA version, and the loop of gradients.

A chunk has about as many tokens as features, so its logits [C, V] are as large as w [D, V], and
the sum over chunks moves dw no more often than logits.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pallas_kernels.cross_entropy.formula import Options, Statistics, dlogits, slopes
from pallas_kernels.soft_cap import soft_cap

FEWEST = 128  # tokens of a chunk, below which its matrix products are slow


def statistics(x: jax.Array, w: jax.Array, labels: jax.Array, options: Options) -> Statistics:
    """Sums over the logits of each token, a chunk at a time."""

    def of_chunk(chunk):
        x_CD, label_C = chunk
        z_CV = _logits(x_CD, w, options)
        picked = jnp.sum(jnp.where(_classes(z_CV) == label_C[:, None], z_CV, 0), -1)
        return Statistics(jax.nn.logsumexp(z_CV, -1), picked, jnp.sum(z_CV, -1))

    D = x.shape[1]
    parts = jax.lax.map(of_chunk, (_chunks(x, D), _chunks(labels, D)))
    return Statistics(*(_joined(part, len(x)) for part in parts))


def chunk_dlogits(x_CD, w, label_C, lse_C, by_lse_C, by_target_C, options: Options) -> jax.Array:
    """Derivative by the logits before the cap of one chunk, [C, V] in the dtype of x."""
    z_CV = _logits(x_CD, w, options)
    tokens = (each[:, None] for each in (label_C, lse_C, by_lse_C, by_target_C))
    dz_CV = dlogits(z_CV, _classes(z_CV), *tokens, w.shape[1], options)
    return dz_CV.astype(x_CD.dtype)


def gradients(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    lse: jax.Array,
    g: jax.Array,
    options: Options,
    chunk_dlogits: Callable,
) -> tuple[jax.Array, jax.Array]:
    """dx = dz w^T and dw = x^T dz, with the logits' derivative dz [C, V] of one chunk at a time.

    w in the dtype of x; dx in this dtype, dw float32.  g: cotangent of the loss, [N].
    chunk_dlogits: computes dz again from x, w and the log-sum-exp.
    """

    def step(dw, chunk):
        x_CD, *tokens = chunk
        dz_CV = chunk_dlogits(x_CD, w, *tokens, options)
        dw_DV = jnp.matmul(x_CD.T, dz_CV, preferred_element_type=dw.dtype)
        return dw + dw_DV, jnp.matmul(dz_CV, w.T)

    tokens = (labels, lse, *slopes(g, lse, labels, options))
    D = x.shape[1]
    start = jnp.zeros_like(w, lse.dtype)
    dw, dx = jax.lax.scan(step, start, (_chunks(x, D), *(_chunks(each, D) for each in tokens)))
    return _joined(dx, len(x)), dw


def _chunks(rows: jax.Array, D: int) -> jax.Array:
    """Rows [N, ...] as [chunks, C, ...], padded with zeros. The slope of a padded token is 0."""
    N = len(rows)
    n = max(1, -(-N // max(D, FEWEST)))
    C = -(-N // n)
    padded = jnp.pad(rows, ((0, n * C - N), *((0, 0),) * (rows.ndim - 1)))
    return padded.reshape(n, C, *rows.shape[1:])


def _joined(chunks: jax.Array, N: int) -> jax.Array:
    return chunks.reshape(-1, *chunks.shape[2:])[:N]


def _logits(x_CD: jax.Array, w: jax.Array, options: Options) -> jax.Array:
    wide = jnp.promote_types(x_CD.dtype, jnp.float32)
    return soft_cap(jnp.matmul(x_CD, w, preferred_element_type=wide), options.cap)


def _classes(z_CV: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, z_CV.shape, 1)
