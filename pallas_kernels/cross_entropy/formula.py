"""Linear cross-entropy: loss and derivative from the logits, for blockwise XLA and the kernels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.soft_cap import soft_cap


class Options(NamedTuple):
    """Constants of the loss, documented in `linear_cross_entropy`."""

    smoothing: float = 0.0
    z_loss: float = 0.0
    ignore: int | None = -100
    cap: float | None = None


class Statistics(NamedTuple):
    """Sums over the logits of each token, float32 [N]."""

    lse: jax.Array
    """log-sum-exp"""
    picked: jax.Array
    """logit of the label"""
    total: jax.Array
    """sum of all logits"""


def loss_of(of: Statistics, labels: jax.Array, V: int, options: Options) -> jax.Array:
    """Loss of each token; NaN for a label outside the vocabulary that is not `ignore`."""
    inside = (labels >= 0) & (labels < V)
    target = (1 - options.smoothing) * jnp.where(inside, of.picked, jnp.nan)
    if options.smoothing:
        target += options.smoothing / V * of.total
    loss = of.lse - target + options.z_loss * jnp.square(of.lse)
    return jnp.where(_kept(labels, options), loss, 0)


def dlogits(z_CV, label_C, lse_C, weight_C, options: Options) -> jax.Array:
    """Derivative of sum_t weight_t loss_t by the logits z before the cap.

    lse_C: log-sum-exp of the logits after the cap.
    """
    capped, pull = jax.vjp(lambda z: soft_cap(z, options.cap), z_CV)
    classes = jax.lax.broadcasted_iota(jnp.int32, z_CV.shape, 1)
    onehot = jnp.where(classes == label_C[:, None], 1 - options.smoothing, 0.0)
    target = onehot + options.smoothing / z_CV.shape[1]
    weight = jnp.where(_kept(label_C, options), weight_C, 0)[:, None]
    lse = lse_C[:, None]
    by_lse = weight * (1 + 2 * options.z_loss * lse)
    return pull(by_lse * jnp.exp(capped - lse) - weight * target)[0]


def _kept(labels: jax.Array, options: Options) -> jax.Array:
    return jnp.full(labels.shape, True) if options.ignore is None else labels != options.ignore
