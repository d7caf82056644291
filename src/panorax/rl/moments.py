"""Running mean and variance of a stream of batches, merged exactly (Chan, Golub & LeVeque 1983)."""

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


def initial(shape: tuple[int, ...]) -> Moments:
    """Mean 0 and variance 1 of no samples, so that `standardize` changes nothing at first."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


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


def standardize(x: jax.Array, moments: Moments, bound: float = 10.0) -> jax.Array:
    """(x - mean) / sqrt(var + 1e-8) in float32, clipped to +-bound; leading axes are batch axes."""
    mean, var = (m.reshape((1,) * (x.ndim - m.ndim) + m.shape) for m in (moments.mean, moments.var))
    return jnp.clip((x.astype(jnp.float32) - mean) * jax.lax.rsqrt(var + 1e-8), -bound, bound)
