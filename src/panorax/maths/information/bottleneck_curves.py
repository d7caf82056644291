"""Information bottleneck of a known joint distribution: the computed curve and two exact ones.

The bottleneck T depends on X alone and keeps the information that X has about Y: p(t | x) minimises
I(X; T) - b I(T; Y) (Tishby, Pereira & Bialek 1999, arXiv:physics/0004057). At a stationary point
(their equation 28)

    p(t | x) = p(t) e^(-b KL(p(y | x) | p(y | t))) / Z,
    p(t) = sum_x p(x) p(t | x),      p(y | t) = sum_x p(x, y) p(t | x) / p(t),

and iterating these equations never raises the objective. The curve I(T; Y) over I(X; T) is concave
with slope 1 / b, and stays below I(X; T) and I(X; Y) (data processing). The solver anneals b from
large, with start T = X, to small; each solution is the start of the next.

Exact curves: a fair bit through a symmetric channel, by Mrs Gerber's lemma (Wyner & Ziv 1973), and
Gaussians (Chechik et al. 2005). All results are in nats and float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float, Int

from panorax.core import struct
from panorax.maths.information.blahut_arimoto import (
    binary_entropy,
    discrete_information,
    probabilities,
)


@struct.dataclass
class Curve:
    """Points of the curve, one for each b in the order given."""

    compression: Float[Array, " N"]
    """I(X; T) in nats"""
    relevance: Float[Array, " N"]
    """I(T; Y) in nats"""
    encoder: Float[Array, "N X T"]
    """p(t | x)"""
    steps: Int[Array, " N"]
    """number of self-consistent steps"""


def self_consistent_step(joint_XY, encoder_XT, b):
    """The next p(t | x), from the p(t) and p(y | t) of the current one.

    A t of probability 0 keeps probability 0.
    """
    p_X, p_TY = jnp.sum(joint_XY, 1), encoder_XT.T @ joint_XY
    p_T = jnp.sum(p_TY, 1)
    y_given_t = p_TY / jnp.where(p_T > 0, p_T, 1)[:, None]
    # cross entropy: KL(p(y|x) | p(y|t)) up to the entropy of p(y|x), equal for all t
    cross_XT = -jnp.sum(xlogy((joint_XY / p_X[:, None])[:, None], y_given_t[None]), -1)
    return jax.nn.softmax(jnp.log(p_T)[None] - b * cross_XT, 1)


@jax.jit
def _annealed(joint_XY, falling_b, tolerance, steps):
    def unfinished(carry):
        n, _, change = carry
        return (n < steps) & (change > tolerance)

    def solve(encoder_XT, b):
        def step(carry):
            n, encoder_XT, _ = carry
            after = self_consistent_step(joint_XY, encoder_XT, b)
            return n + 1, after, jnp.max(jnp.abs(after - encoder_XT))

        begin = (jnp.int32(0), encoder_XT, jnp.full((), jnp.inf))
        n, encoder_XT, _ = jax.lax.while_loop(unfinished, step, begin)
        joint_XT, joint_TY = encoder_XT * jnp.sum(joint_XY, 1)[:, None], encoder_XT.T @ joint_XY
        return encoder_XT, Curve(
            discrete_information(joint_XT), discrete_information(joint_TY), encoder_XT, n
        )

    return jax.lax.scan(solve, jnp.eye(len(joint_XY)), falling_b)[1]


def bottleneck_curve(
    joint_XY: Float[Array, "X Y"], b_N, tolerance: float = 1e-10, steps: int = 100_000
) -> Curve:
    """The curve at each b of `b_N`, in any order, with as many values of t as of x.

    Stops at each b when no p(t | x) changes by more than `tolerance`, or after `steps` steps.
    Raises ValueError if `joint_XY` is not a distribution or an x has probability 0, and unless
    every b is finite and positive.
    """
    joint_XY = probabilities(joint_XY, 2, "the joint distribution")
    b_N = np.asarray(b_N, np.float64)
    if not joint_XY.sum(1).all():
        raise ValueError("every x must have a probability above 0")
    if b_N.ndim != 1 or not b_N.size or not np.isfinite(b_N).all() or (b_N <= 0).any():
        raise ValueError("b must be a list of finite numbers above 0")
    falling = np.argsort(-b_N, kind="stable")
    with jax.enable_x64(True):
        curve = _annealed(joint_XY, b_N[falling], tolerance, steps)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.argsort(falling)], curve)


def binary_symmetric_joint(flip: float) -> np.ndarray:
    """p(x, y) of a fair bit x and the output y of a channel with flip probability `flip`."""
    return 0.5 * np.array([[1 - flip, flip], [flip, 1 - flip]])


def binary_curve(compression, flip: float) -> np.ndarray:
    """Largest I(T; Y) at compression I(X; T) = r for a fair bit through a symmetric channel.

    Equals log 2 - h(a (1 - flip) + (1 - a) flip) with h(a) = log 2 - r, h the binary entropy.
    Raises ValueError unless 0 <= r <= log 2 and 0 <= flip <= 1.
    """
    r = np.asarray(compression, np.float64)
    if not ((r >= -1e-12) & (r <= np.log(2) + 1e-12)).all() or not 0 <= flip <= 1:
        raise ValueError("compression must lie in [0, log 2] and flip in [0, 1]")
    with jax.enable_x64(True):
        low, high = np.zeros(r.shape), np.full(r.shape, 0.5)
        for _ in range(60):  # bisection: h increases from 0 to log 2
            middle = (low + high) / 2
            below = np.asarray(binary_entropy(middle)) < np.log(2) - r
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.log(2) - np.asarray(binary_entropy(low * (1 - flip) + (1 - low) * flip))


def gaussian_curve(correlations, b) -> tuple[np.ndarray, np.ndarray]:
    """(I(X; T), I(T; Y)) at each b for jointly Gaussian vectors with canonical correlations r_i.

    Direction i contributes for b > 1 / r_i^2:

        I(X; T) = 1/2 sum log[(b - 1) r_i^2 / (1 - r_i^2)],
        I(T; Y) = I(X; T) - 1/2 sum log(b r_i^2).

    Raises ValueError unless 0 < r_i < 1 and b > 0.
    """
    square, b = np.square(np.asarray(correlations, np.float64)), np.asarray(b, np.float64)
    if square.ndim != 1 or not ((square > 0) & (square < 1)).all() or not (b > 0).all():
        raise ValueError("correlations must be a list of numbers between 0 and 1, b positive")
    gain = np.maximum(b[..., None] * square, 1)
    log_signal = np.log(np.where(gain > 1, b[..., None] - 1, 1) * square / (1 - square))
    compression = 0.5 * np.where(gain > 1, log_signal, 0).sum(-1)
    return compression, compression - 0.5 * np.log(gain).sum(-1)


def gaussian_joint(correlation: float, bins: int, reach: float = 4.0) -> np.ndarray:
    """Normalised p(x, y) of two correlated standard normals on a bins x bins grid.

    The cells are equal and cover [-reach, reach] in each direction.
    Raises ValueError unless -1 < correlation < 1.
    """
    if not -1 < correlation < 1:
        raise ValueError(f"correlation must lie between -1 and 1, got {correlation}")
    centre = (np.arange(bins) + 0.5) * 2 * reach / bins - reach
    square = (
        centre[:, None] ** 2 - 2 * correlation * centre[:, None] * centre[None] + centre[None] ** 2
    )
    density = np.exp(-0.5 * square / (1 - correlation**2))
    return density / density.sum()
