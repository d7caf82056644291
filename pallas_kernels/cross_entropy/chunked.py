"""Linear cross-entropy in chunks of tokens: the blockwise XLA version, and the loop of gradients.

A chunk has about as many tokens as features, so its logits [C, V] are as large as w [D, V], and
the sum over chunks moves dw no more often than logits.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pallas_kernels.cross_entropy.formula import Options, Statistics, dlogits, loss_of
from pallas_kernels.soft_cap import soft_cap

FEWEST = 128  # tokens of a chunk, below which its matrix products are slow


def statistics(x: jax.Array, w: jax.Array, labels: jax.Array, options: Options) -> Statistics:
    """Sums over the logits of each token, a chunk at a time."""

    def of_chunk(chunk):
        x_CD, label_C = chunk
        return logits_and_statistics(x_CD, w, label_C, options)[1]

    parts = jax.lax.map(of_chunk, _chunks((x, labels), x.shape[1]))
    return Statistics(*(_joined(part, len(x)) for part in parts))


def logits_and_statistics(x_CD, w, label_C, options: Options) -> tuple[jax.Array, Statistics]:
    """Logits z [C, V] of a chunk before the cap, float32 or wider, and sums over those after it."""
    wide = jnp.promote_types(x_CD.dtype, jnp.float32)
    z_CV = jnp.matmul(x_CD, w, preferred_element_type=wide)
    capped = soft_cap(z_CV, options.cap)
    classes = jax.lax.broadcasted_iota(jnp.int32, z_CV.shape, 1)
    picked = jnp.sum(jnp.where(classes == label_C[:, None], capped, 0), -1)
    return z_CV, Statistics(jax.nn.logsumexp(capped, -1), picked, jnp.sum(capped, -1))


def losses_and_gradients(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    options: Options,
    logits_and_statistics: Callable,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Loss of each token, and the gradients of sum_t weights_t loss_t by x and w.

    z = x w, dz = dloss / dz, dx = dz w^T and dw += x^T dz, one chunk after another.

    w in the dtype of x; dx in this dtype, losses and dw float32 or wider.
    logits_and_statistics: (x, w, labels, options) of a chunk -> its logits z [C, V], Statistics.
    """

    def step(dw, chunk):
        x_CD, label_C, weight_C = chunk
        z_CV, of = logits_and_statistics(x_CD, w, label_C, options)
        dz_CV = dlogits(z_CV, label_C, of.lse, weight_C, options).astype(x_CD.dtype)
        dw_DV = jnp.matmul(x_CD.T, dz_CV, preferred_element_type=dw.dtype)
        loss_C = loss_of(of, label_C, w.shape[1], options)
        return dw + dw_DV, (loss_C, jnp.matmul(dz_CV, w.T))

    start = jnp.zeros_like(w, weights.dtype)
    dw, (losses, dx) = jax.lax.scan(step, start, _chunks((x, labels, weights), x.shape[1]))
    return _joined(losses, len(x)), _joined(dx, len(x)), dw


def _chunks(arrays: tuple[jax.Array, ...], D: int) -> tuple[jax.Array, ...]:
    """Arrays [N, ...] as [chunks, C, ...], padded with zeros. The weight of a padded token is 0."""
    N = len(arrays[0])
    n = max(1, -(-N // max(D, FEWEST)))
    C = -(-N // n)
    padded = (jnp.pad(x, ((0, n * C - N), *((0, 0),) * (x.ndim - 1))) for x in arrays)
    return tuple(x.reshape(n, C, *x.shape[1:]) for x in padded)


def _joined(chunks: jax.Array, N: int) -> jax.Array:
    return chunks.reshape(-1, *chunks.shape[2:])[:N]
