"""The information bottleneck of a known joint distribution: the curve computed, and two that are known exactly.

T is made from X alone so as to keep what X says of Y: minimise I(X; T) - b I(T; Y) over p(t | x) (Tishby, Pereira & Bialek 1999, arXiv:physics/0004057).
Where the derivative vanishes (their equation 28)

    p(t | x) = p(t) e^(-b KL(p(y | x) | p(y | t))) / Z,      p(t) = sum_x p(x) p(t | x),      p(y | t) = sum_x p(x, y) p(t | x) / p(t),

and taking these in turn never raises the objective. The curve I(T; Y) over I(X; T) is concave, its slope is 1 / b, and it stays below I(X; T) and I(X; Y)
(data processing). From b large, where T = X is a good start, b falls and each solution is the start of the next.
Known exactly: a fair bit through a symmetric channel, by Mrs Gerber's lemma (Wyner & Ziv 1973), and Gaussians (Chechik et al. 2005). In nats and in float64.
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
    """One point for each b, as they were asked for: I(X; T), I(T; Y), p(t | x), and the steps taken."""

    compression: Float[Array, " N"]
    relevance: Float[Array, " N"]
    encoder: Float[Array, "N X T"]
    steps: Int[Array, " N"]


def self_consistent_step(joint_XY, encoder_XT, b):
    """p(t | x) from p(t) and p(y | t), and these from the p(t | x) given. A t that is never used stays so."""
    p_X, p_TY = jnp.sum(joint_XY, 1), encoder_XT.T @ joint_XY
    p_T = jnp.sum(p_TY, 1)
    y_given_t = p_TY / jnp.where(p_T > 0, p_T, 1)[:, None]
    # KL(p(y|x) | p(y|t)) but for the entropy of p(y|x), which is the same for all t
    cross_XT = -jnp.sum(xlogy((joint_XY / p_X[:, None])[:, None], y_given_t[None]), -1)
    return jax.nn.softmax(jnp.log(p_T)[None] - b * cross_XT, 1)


@jax.jit
def _annealed(joint_XY, falling_b, tolerance, steps):
    def at(encoder_XT, b):
        def step(carry):
            n, encoder_XT, _ = carry
            after = self_consistent_step(joint_XY, encoder_XT, b)
            return n + 1, after, jnp.max(jnp.abs(after - encoder_XT))

        more = lambda carry: (carry[0] < steps) & (carry[2] > tolerance)
        n, encoder_XT, _ = jax.lax.while_loop(
            more, step, (jnp.int32(0), encoder_XT, jnp.full((), jnp.inf))
        )
        joint_XT, joint_TY = encoder_XT * jnp.sum(joint_XY, 1)[:, None], encoder_XT.T @ joint_XY
        return encoder_XT, Curve(
            discrete_information(joint_XT), discrete_information(joint_TY), encoder_XT, n
        )

    return jax.lax.scan(at, jnp.eye(len(joint_XY)), falling_b)[1]


def bottleneck_curve(
    joint_XY: Float[Array, "X Y"], b_N, tolerance: float = 1e-10, steps: int = 100_000
) -> Curve:
    """The curve at each b of `b_N`, in any order, with as many t as x: until no p(t | x) changes by more than `tolerance`, or after `steps`.

    Raises ValueError where the joint distribution is none or some x has probability 0, and unless every b is finite and positive.
    """
    joint_XY, b_N = (
        probabilities(joint_XY, 2, "the joint distribution"),
        np.asarray(b_N, np.float64),
    )
    if not joint_XY.sum(1).all():
        raise ValueError("every x must have a probability above 0")
    if b_N.ndim != 1 or not b_N.size or not np.isfinite(b_N).all() or (b_N <= 0).any():
        raise ValueError("b must be a list of finite numbers above 0")
    falling = np.argsort(-b_N, kind="stable")
    with jax.enable_x64(True):
        curve = _annealed(joint_XY, b_N[falling], tolerance, steps)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.argsort(falling)], curve)


def binary_symmetric_joint(flip: float) -> np.ndarray:
    """p(x, y) of a fair bit x and the bit y that a channel makes of it, other than x with probability `flip`."""
    return 0.5 * np.array([[1 - flip, flip], [flip, 1 - flip]])


def binary_curve(compression, flip: float) -> np.ndarray:
    """The most that T can say of Y where I(X; T) = r: log 2 - h(a (1 - flip) + (1 - a) flip), h(a) = log 2 - r, h the binary entropy.

    Raises ValueError unless 0 <= r <= log 2 and 0 <= flip <= 1.
    """
    r = np.asarray(compression, np.float64)
    if not ((r >= -1e-12) & (r <= np.log(2) + 1e-12)).all() or not 0 <= flip <= 1:
        raise ValueError("a bit holds 0 to log 2 nats, and is flipped with a probability")
    with jax.enable_x64(True):
        low, high = np.zeros(r.shape), np.full(r.shape, 0.5)
        for _ in range(60):  # bisection: h rises from 0 to log 2
            middle = (low + high) / 2
            below = np.asarray(binary_entropy(middle)) < np.log(2) - r
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.log(2) - np.asarray(binary_entropy(low * (1 - flip) + (1 - low) * flip))


def gaussian_curve(correlations, b) -> tuple[np.ndarray, np.ndarray]:
    """(I(X; T), I(T; Y)) at each b of jointly Gaussian vectors with these canonical correlations r_i: direction i takes part from b = 1 / r_i^2 on, with

        I(X; T) = 1/2 sum log[(b - 1) r_i^2 / (1 - r_i^2)],      I(T; Y) = I(X; T) - 1/2 sum log(b r_i^2).

    Raises ValueError unless 0 < r_i < 1 and b > 0.
    """
    square, b = np.square(np.asarray(correlations, np.float64)), np.asarray(b, np.float64)
    if square.ndim != 1 or not ((square > 0) & (square < 1)).all() or not (b > 0).all():
        raise ValueError(
            "canonical correlations must be a list of numbers between 0 and 1, and b positive"
        )
    gain = np.maximum(b[..., None] * square, 1)
    compression = 0.5 * np.where(
        gain > 1, np.log(np.where(gain > 1, b[..., None] - 1, 1) * square / (1 - square)), 0
    ).sum(-1)
    return compression, compression - 0.5 * np.log(gain).sum(-1)


def gaussian_joint(correlation: float, bins: int, reach: float = 4.0) -> np.ndarray:
    """p(x, y) of two standard normal numbers on a grid of `bins` equal cells each way between -reach and reach, normalised. Raises ValueError unless
    -1 < correlation < 1."""
    if not -1 < correlation < 1:
        raise ValueError(f"a correlation lies between -1 and 1, got {correlation}")
    centre = (np.arange(bins) + 0.5) * 2 * reach / bins - reach
    square = (
        centre[:, None] ** 2 - 2 * correlation * centre[:, None] * centre[None] + centre[None] ** 2
    )
    density = np.exp(-0.5 * square / (1 - correlation**2))
    return density / density.sum()
