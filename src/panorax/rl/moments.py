"""Running mean and variance of a stream of batches, and the scale of a stream of rewards.

Batches are merged exactly (Chan, Golub & LeVeque 1983). The scale of rewards r_t is the running
standard deviation of the discounted sum of past rewards,

    R_t = discount R_(t-1) + r_t.

Division by it gives returns of a similar size in every environment, and keeps the sign of a reward.
Source: Engstrom et al. 2020, arXiv:2005.12729, section 3.
"""

import jax
import jax.numpy as jnp

from panorax.core import struct


@struct.dataclass
class Moments:
    """Moments of all samples so far, float32."""

    mean: jax.Array
    """mean"""
    var: jax.Array
    """biased variance"""
    count: jax.Array
    """number of samples, ()"""


@struct.dataclass
class Returns:
    """Discounted sums of past rewards in N environments."""

    sums: jax.Array
    """sum of each environment, float32 (N,) [R]"""
    moments: Moments
    """moments of the sums after all steps so far, ()"""


def initial(shape: tuple[int, ...], count: float = 0.0) -> Moments:
    """Mean 0 and variance 1, so that `standardize` changes nothing at first.

    count: number of samples for which they count.
    """
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.full((), count, jnp.float32))


def merge(moments: Moments, x: jax.Array) -> Moments:
    """Moments of the samples so far and the samples `x` together.

    The leading axes of `x` before the shape of the mean are sample axes.
    """
    x = x.astype(jnp.float32).reshape(-1, *moments.mean.shape)
    mean, var, count = jnp.mean(x, 0), jnp.var(x, 0), x.shape[0]
    total = moments.count + count
    delta, share = mean - moments.mean, count / total
    between = jnp.square(delta) * share * (1 - share)
    return Moments(
        moments.mean + delta * share, moments.var * (1 - share) + var * share + between, total
    )


def weighted(x: jax.Array, weight_M: jax.Array) -> Moments:
    """Moments of samples (M, ...) with weights; samples of weight 0 do not count."""
    x, total = x.astype(jnp.float32), jnp.maximum(jnp.sum(weight_M), 1)
    mean = jnp.tensordot(weight_M, x, 1) / total
    return Moments(mean, jnp.tensordot(weight_M, jnp.square(x - mean[None]), 1) / total, total)


def standardize(x: jax.Array, moments: Moments, bound: float = 10.0) -> jax.Array:
    """(x - mean) / sqrt(var + 1e-8) in float32, clipped to +-bound; leading axes are batch axes."""
    mean, var = (m.reshape((1,) * (x.ndim - m.ndim) + m.shape) for m in (moments.mean, moments.var))
    return jnp.clip((x.astype(jnp.float32) - mean) * jax.lax.rsqrt(var + 1e-8), -bound, bound)


def no_returns(n: int) -> Returns:
    """The sums of `n` environments before their first reward.

    A variance of 1 counts for 1e-4 samples, so that equal first rewards do not have the scale 0.
    """
    return Returns(jnp.zeros(n), initial((), 1e-4))


def add_rewards(
    returns: Returns, reward_N: jax.Array, terminated_N: jax.Array, discount: float
) -> Returns:
    """`returns` after one step. A terminal step starts a new sum with its own reward."""
    sums = discount * jnp.where(terminated_N, 0, returns.sums) + reward_N
    return Returns(sums, merge(returns.moments, sums))


def scaled(reward: jax.Array, returns: Returns) -> jax.Array:
    """Rewards divided by the standard deviation of the returns, sqrt(var + 1e-8)."""
    return reward * jax.lax.rsqrt(returns.moments.var + 1e-8)
