"""Linear cross-entropy: the elementwise formulas, the same in blockwise XLA and in the kernels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


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
    target += options.smoothing / V * of.total
    loss = of.lse - target + options.z_loss * jnp.square(of.lse)
    return jnp.where(_kept(labels, options), loss, 0)


def slopes(g: jax.Array, lse: jax.Array, labels: jax.Array, options: Options):
    """Derivatives of sum(g loss) by the log-sum-exp and by minus the target's logit, both [N]."""
    g = jnp.where(_kept(labels, options), g, 0)
    return g * (1 + 2 * options.z_loss * lse), g


def dlogits(z, classes, labels, lse, by_lse, by_target, V: int, options: Options) -> jax.Array:
    """Derivative by the logits before the cap, from the logits z after the cap.

    by_lse p - by_target ((1 - smoothing) [class = label] + smoothing / V), times 1 - (z / cap)^2.
    classes and the arrays of tokens broadcast against z.
    """
    target = jnp.where(classes == labels, 1 - options.smoothing, 0.0) + options.smoothing / V
    dz = by_lse * jnp.exp(z - lse) - by_target * target
    return dz if options.cap is None else dz * (1 - jnp.square(z / options.cap))


def _kept(labels: jax.Array, options: Options) -> jax.Array:
    return jnp.full(labels.shape, True) if options.ignore is None else labels != options.ignore
