"""Channel capacity and the rate-distortion function by alternating maximisation, each with a bound from either side.

Capacity, W the channel p(y | x), p the input, q = p W the output, D_x = KL(W_x | q) (Blahut 1972, theorems 2 and 3; Arimoto 1972):

    p_x <- p_x e^(D_x) / sum p e^D,          log sum_x p_x e^(D_x)  <=  C  <=  max_x D_x.

Both meet where D_x is the same for every input that is used and smaller for those that are not (the conditions of Kuhn and Tucker). Rate-distortion,
d(x, y) the distortion, -b the slope of R(D), A = e^(-b d), Z_x = sum_y q_y A_xy, c_y = sum_x p_x A_xy / Z_x (Blahut 1972, theorems 5 and 6):

    q_y <- q_y c_y,          log max_y c_y  >=  R0 - R(D)  >=  sum_y q_y c_y log c_y,          R0 = -b D - sum_x p_x log Z_x,

D the distortion of the test channel q_y A_xy / Z_x. In nats and in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, xlogy
from jaxtyping import Array, Float, Int

from panorax.core import struct


@struct.dataclass
class Capacity:
    """lower <= C <= upper, the input that attains the lower bound, and the steps taken."""

    lower: Float[Array, ""]
    upper: Float[Array, ""]
    input_X: Float[Array, " X"]
    steps: Int[Array, ""]


@struct.dataclass
class RateDistortion:
    """A point (D, R) of the curve with lower <= R(D) <= upper, the distribution of the reproduction, and the steps taken."""

    distortion: Float[Array, ""]
    lower: Float[Array, ""]
    upper: Float[Array, ""]
    output_Y: Float[Array, " Y"]
    steps: Int[Array, ""]


def probabilities(p, ndim: int, what: str, total_axis: int | None = None) -> np.ndarray:
    """p in float64 where it is a distribution, or one in each row (`total_axis` -1). Raises ValueError where it has another number of axes, is empty, or has
    numbers that are negative, not finite, or do not sum to 1 within 1e-6; those that do are divided by their sum."""
    p = np.asarray(p, np.float64)
    if p.ndim != ndim or 0 in p.shape:
        raise ValueError(f"{what} must have {ndim} axes and not be empty, got the shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError(f"{what} must be made of finite probabilities of at least 0")
    total = p.sum(total_axis, keepdims=True)
    if np.abs(total - 1).max() > 1e-6:
        raise ValueError(
            f"{what} must sum to 1, got {total.ravel()[np.abs(total - 1).argmax()]:.6g}"
        )
    return p / total


def binary_entropy(p):
    """h(p) = -p log p - (1 - p) log(1 - p), in nats."""
    return -xlogy(p, p) - xlogy(1 - p, 1 - p)


def discrete_information(joint_XY: Float[Array, "X Y"]) -> Float[Array, ""]:
    """I(X; Y) = sum p(x, y) log p(x, y) / p(x) p(y), in nats."""
    own = jnp.sum(joint_XY, 1, keepdims=True) * jnp.sum(joint_XY, 0, keepdims=True)
    return jnp.sum(
        jnp.where(joint_XY > 0, xlogy(joint_XY, joint_XY / jnp.where(own > 0, own, 1)), 0)
    )


@jax.jit
def _capacity(channel_XY, tolerance, steps):
    log_channel = jnp.log(channel_XY)

    def divergences(log_p_X):
        log_q_Y = logsumexp(log_channel + log_p_X[:, None], 0)
        return jnp.sum(jnp.where(channel_XY > 0, channel_XY * (log_channel - log_q_Y[None]), 0), 1)

    def bounds(log_p_X):
        d_X = divergences(log_p_X)
        return logsumexp(log_p_X + d_X), jnp.max(d_X), d_X

    def step(carry):
        n, log_p_X, (lower, _, d_X) = carry
        log_p_X = log_p_X + d_X - lower
        return n + 1, log_p_X, bounds(log_p_X)

    log_p_X = jnp.full(len(channel_XY), -jnp.log(len(channel_XY)))
    more = lambda carry: (carry[0] < steps) & (carry[2][1] - carry[2][0] > tolerance)
    n, log_p_X, (lower, upper, _) = jax.lax.while_loop(
        more, step, (jnp.int32(0), log_p_X, bounds(log_p_X))
    )
    return Capacity(lower, upper, jnp.exp(log_p_X), n)


def capacity(
    channel_XY: Float[Array, "X Y"], tolerance: float = 1e-9, steps: int = 1_000_000
) -> Capacity:
    """The capacity of a memoryless channel, rows p(y | x): until the bounds are within `tolerance`, or after `steps`.

    Raises ValueError where a row is not a distribution.
    """
    channel_XY = probabilities(channel_XY, 2, "the rows of a channel", -1)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _capacity(channel_XY, tolerance, steps))


@jax.jit
def _rate_distortion(p_X, distortion_XY, slope, tolerance, steps):
    log_p_X, log_a_XY = jnp.log(p_X), -slope * distortion_XY

    def state(log_q_Y):
        """D, R0 - R(D) from above and below, and log c."""
        log_z_X = logsumexp(log_q_Y[None] + log_a_XY, 1)
        log_c_Y = logsumexp(log_p_X[:, None] + log_a_XY - log_z_X[:, None], 0)
        distortion = jnp.sum(
            p_X[:, None] * jnp.exp(log_q_Y[None] + log_a_XY - log_z_X[:, None]) * distortion_XY
        )
        r0 = -slope * distortion - jnp.sum(p_X * log_z_X)
        return (
            distortion,
            r0 - jnp.max(log_c_Y),
            r0 - jnp.sum(jnp.exp(log_q_Y + log_c_Y) * log_c_Y),
            log_c_Y,
        )

    def step(carry):
        n, log_q_Y, (*_, log_c_Y) = carry
        return n + 1, log_q_Y + log_c_Y, state(log_q_Y + log_c_Y)

    log_q_Y = jnp.full(distortion_XY.shape[1], -jnp.log(distortion_XY.shape[1]))
    more = lambda carry: (carry[0] < steps) & (carry[2][2] - carry[2][1] > tolerance)
    n, log_q_Y, (distortion, lower, upper, _) = jax.lax.while_loop(
        more, step, (jnp.int32(0), log_q_Y, state(log_q_Y))
    )
    return RateDistortion(distortion, lower, upper, jnp.exp(log_q_Y), n)


def rate_distortion(
    p_X, distortion_XY, slope: float, tolerance: float = 1e-9, steps: int = 1_000_000
) -> RateDistortion:
    """The point of R(D) whose slope is -slope, for a source p(x): until the bounds are within `tolerance`, or after `steps`.

    Raises ValueError where p is not a distribution, the distortion is not finite, negative or of another shape, or the slope is not positive.
    """
    p_X, distortion_XY = probabilities(p_X, 1, "the source"), np.asarray(distortion_XY, np.float64)
    if distortion_XY.ndim != 2 or len(distortion_XY) != len(p_X) or 0 in distortion_XY.shape:
        raise ValueError(
            f"the distortion must have the shape ({len(p_X)}, Y), got {distortion_XY.shape}"
        )
    if not np.isfinite(distortion_XY).all() or (distortion_XY < 0).any() or not 0 < slope < np.inf:
        raise ValueError("the distortion must be finite and not negative, the slope positive")
    with jax.enable_x64(True):
        return jax.tree.map(
            np.asarray, _rate_distortion(p_X, distortion_XY, slope, tolerance, steps)
        )
