"""Channel capacity and the rate-distortion function by alternating maximisation, with bounds.

Capacity, for the channel W = p(y | x), the input p, the output q = p W, and D_x = KL(W_x | q)
(Blahut 1972, theorems 2 and 3; Arimoto 1972):

    p_x <- p_x e^(D_x) / sum p e^D,          log sum_x p_x e^(D_x)  <=  C  <=  max_x D_x.

The bounds meet when D_x is equal for all inputs in use and smaller for all others (the Kuhn-Tucker
conditions). Rate-distortion, for the distortion d(x, y), the slope -b of R(D), A = e^(-b d),
Z_x = sum_y q_y A_xy and c_y = sum_x p_x A_xy / Z_x (Blahut 1972, theorems 5 and 6):

    q_y <- q_y c_y,          log max_y c_y  >=  R0 - R(D)  >=  sum_y q_y c_y log c_y,
    R0 = -b D - sum_x p_x log Z_x,

with D the distortion of the test channel q_y A_xy / Z_x. All results are in nats and float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, xlogy
from jaxtyping import Array, Float, Int

from panorax.core import struct


@struct.dataclass
class Capacity:
    """Bounds lower <= C <= upper on the capacity."""

    lower: Float[Array, ""]
    """lower bound in nats"""
    upper: Float[Array, ""]
    """upper bound in nats"""
    input_X: Float[Array, " X"]
    """input distribution whose mutual information is at least the lower bound"""
    steps: Int[Array, ""]
    """number of updates"""


@struct.dataclass
class RateDistortion:
    """A point (D, R) of the rate-distortion curve, with lower <= R(D) <= upper."""

    distortion: Float[Array, ""]
    """mean distortion [D]"""
    lower: Float[Array, ""]
    """lower bound on the rate in nats"""
    upper: Float[Array, ""]
    """upper bound on the rate in nats"""
    output_Y: Float[Array, " Y"]
    """distribution of the reproduction [q]"""
    steps: Int[Array, ""]
    """number of updates"""


class _CapacityBounds(NamedTuple):
    """Bounds on the capacity at one input distribution, in nats."""

    lower: Float[Array, ""]
    upper: Float[Array, ""]
    divergence_X: Float[Array, " X"]
    """D_x"""


class _RateBounds(NamedTuple):
    """Bounds on R(D) at one reproduction distribution, in nats."""

    distortion: Float[Array, ""]
    """D"""
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    log_c_Y: Float[Array, " Y"]
    """log c_y"""


def probabilities(p, ndim: int, name: str, total_axis: int | None = None) -> np.ndarray:
    """Checks that p is a distribution, or that its rows are (`total_axis` -1).

    Returns p in float64, divided by its sums. Raises ValueError if p has another number of axes, is
    empty, or has negative or non-finite entries, or if a sum is not 1 within 1e-6. `name` starts
    the message.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != ndim or 0 in p.shape:
        raise ValueError(f"{name} must have {ndim} axes and not be empty, got the shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError(f"{name} must be finite and at least 0")
    total = p.sum(total_axis, keepdims=True)
    error = np.abs(total - 1)
    if error.max() > 1e-6:
        raise ValueError(f"{name} must sum to 1, got {total.ravel()[error.argmax()]:.6g}")
    return p / total


def binary_entropy(p):
    """h(p) = -p log p - (1 - p) log(1 - p), in nats."""
    return -xlogy(p, p) - xlogy(1 - p, 1 - p)


def discrete_information(joint_XY: Float[Array, "X Y"]) -> Float[Array, ""]:
    """I(X; Y) = sum p(x, y) log p(x, y) / p(x) p(y), in nats."""
    product = jnp.sum(joint_XY, 1, keepdims=True) * jnp.sum(joint_XY, 0, keepdims=True)
    ratio = joint_XY / jnp.where(product > 0, product, 1)
    return jnp.sum(jnp.where(joint_XY > 0, xlogy(joint_XY, ratio), 0))


@jax.jit
def _capacity(channel_XY, tolerance, steps):
    log_channel = jnp.log(channel_XY)

    def divergences(log_p_X):
        log_q_Y = logsumexp(log_channel + log_p_X[:, None], 0)
        return jnp.sum(jnp.where(channel_XY > 0, channel_XY * (log_channel - log_q_Y[None]), 0), 1)

    def bounds(log_p_X):
        d_X = divergences(log_p_X)
        return _CapacityBounds(logsumexp(log_p_X + d_X), jnp.max(d_X), d_X)

    def unfinished(carry):
        n, _, bound = carry
        return (n < steps) & (bound.upper - bound.lower > tolerance)

    def step(carry):
        n, log_p_X, bound = carry
        log_p_X = log_p_X + bound.divergence_X - bound.lower
        return n + 1, log_p_X, bounds(log_p_X)

    log_p_X = jnp.full(len(channel_XY), -jnp.log(len(channel_XY)))
    begin = (jnp.int32(0), log_p_X, bounds(log_p_X))
    n, log_p_X, bound = jax.lax.while_loop(unfinished, step, begin)
    return Capacity(bound.lower, bound.upper, jnp.exp(log_p_X), n)


def capacity(
    channel_XY: Float[Array, "X Y"], tolerance: float = 1e-9, steps: int = 1_000_000
) -> Capacity:
    """Capacity of a memoryless channel with rows p(y | x).

    Stops when the bounds differ by at most `tolerance` nats, or after `steps` updates.
    Raises ValueError if a row is not a distribution.
    """
    channel_XY = probabilities(channel_XY, 2, "the rows of a channel", -1)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _capacity(channel_XY, tolerance, steps))


@jax.jit
def _rate_distortion(p_X, distortion_XY, slope, tolerance, steps):
    log_p_X, log_a_XY = jnp.log(p_X), -slope * distortion_XY

    def bounds(log_q_Y):
        log_z_X = logsumexp(log_q_Y[None] + log_a_XY, 1)
        log_c_Y = logsumexp(log_p_X[:, None] + log_a_XY - log_z_X[:, None], 0)
        distortion = jnp.sum(
            p_X[:, None] * jnp.exp(log_q_Y[None] + log_a_XY - log_z_X[:, None]) * distortion_XY
        )
        r0 = -slope * distortion - jnp.sum(p_X * log_z_X)
        return _RateBounds(
            distortion,
            r0 - jnp.max(log_c_Y),
            r0 - jnp.sum(jnp.exp(log_q_Y + log_c_Y) * log_c_Y),
            log_c_Y,
        )

    def unfinished(carry):
        n, _, bound = carry
        return (n < steps) & (bound.upper - bound.lower > tolerance)

    def step(carry):
        n, log_q_Y, bound = carry
        log_q_Y = log_q_Y + bound.log_c_Y
        return n + 1, log_q_Y, bounds(log_q_Y)

    log_q_Y = jnp.full(distortion_XY.shape[1], -jnp.log(distortion_XY.shape[1]))
    begin = (jnp.int32(0), log_q_Y, bounds(log_q_Y))
    n, log_q_Y, bound = jax.lax.while_loop(unfinished, step, begin)
    return RateDistortion(bound.distortion, bound.lower, bound.upper, jnp.exp(log_q_Y), n)


def rate_distortion(
    p_X, distortion_XY, slope: float, tolerance: float = 1e-9, steps: int = 1_000_000
) -> RateDistortion:
    """The point of R(D) with the slope -`slope`, for a source p(x) and distortions d(x, y).

    Stops when the bounds differ by at most `tolerance` nats, or after `steps` updates.
    Raises ValueError if p is not a distribution, the distortion is not finite, negative or of
    another shape, or the slope is not positive.
    """
    p_X, distortion_XY = probabilities(p_X, 1, "the source"), np.asarray(distortion_XY, np.float64)
    if distortion_XY.ndim != 2 or len(distortion_XY) != len(p_X) or 0 in distortion_XY.shape:
        raise ValueError(
            f"the distortion must have shape ({len(p_X)}, Y), got {distortion_XY.shape}"
        )
    if not np.isfinite(distortion_XY).all() or (distortion_XY < 0).any() or not 0 < slope < np.inf:
        raise ValueError("the distortion must be finite and not negative, the slope positive")
    with jax.enable_x64(True):
        return jax.tree.map(
            np.asarray, _rate_distortion(p_X, distortion_XY, slope, tolerance, steps)
        )
