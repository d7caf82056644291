"""t-SNE: an embedding in the plane that preserves neighbourhood probabilities of a point cloud.

    p(j | i) = exp(-b_i |x_i - x_j|^2) / sum_k ..,      entropy of p(. | i) = log(perplexity)
    p_ij = (p(j | i) + p(i | j)) / 2N
    q_ij = w_ij / Z,  w_ij = 1 / (1 + |y_i - y_j|^2),  Z = sum_{k != l} w_kl
    loss = KL(p | q) = sum p_ij log(p_ij / q_ij)
    d loss / d y_i = 4 sum_j (p_ij - q_ij) w_ij (y_i - y_j)

The heavy tail of q, a Student distribution, allows moderate distances in high dimensions to become
large in the plane. Early exaggeration multiplies p in the first steps, while clusters can still
pass each other. The sum over all pairs is exact and runs as one compiled program, without a tree or
grid.
Source: van der Maaten & Hinton 2008; start and learning rate of Kobak & Berens 2019; Belkina et al.
2019.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.maths.clouds.neighbors import checked_cloud, nearest

HALVINGS = 50
"""bisection steps for log b, in [-30, 30] relative to the mean squared distance"""
RISE, FALL, LEAST = 0.2, 0.8, 0.01
"""increment of a gain when its coordinate keeps its direction, factor when it turns, and minimum"""


def conditional_affinities(d2_NK: Float[Array, "N K"], perplexity: float) -> Float[Array, "N K"]:
    """p(j | i) from squared distances to K neighbours; rows sum to 1.

    Bisection finds the precisions b_i. Raises ValueError unless 1 <= perplexity <= K.
    """
    if not 1 <= perplexity <= d2_NK.shape[1]:
        raise ValueError(
            f"perplexity must lie between 1 and the number of neighbours, {d2_NK.shape[1]}, "
            f"got {perplexity}"
        )
    d2_NK = d2_NK - jnp.min(d2_NK, 1, keepdims=True)
    scale = jnp.maximum(jnp.mean(d2_NK, 1, keepdims=True), jnp.finfo(d2_NK.dtype).tiny)
    d2_NK = d2_NK / scale

    def entropy(log_b):
        weight = jnp.exp(-jnp.exp(log_b)[:, None] * d2_NK)
        total = jnp.sum(weight, 1)
        return jnp.log(total) + jnp.exp(log_b) * jnp.sum(weight * d2_NK, 1) / total

    def halve(interval, _):
        low, high = interval
        middle = (low + high) / 2
        flat = entropy(middle) > jnp.log(perplexity)
        return (jnp.where(flat, middle, low), jnp.where(flat, high, middle)), None

    ends = (jnp.full(len(d2_NK), -30.0, d2_NK.dtype), jnp.full(len(d2_NK), 30.0, d2_NK.dtype))
    (low, high), _ = jax.lax.scan(halve, ends, length=HALVINGS)
    return jax.nn.softmax(-jnp.exp((low + high) / 2)[:, None] * d2_NK, 1)


def joint_affinities(p_NK: Float[Array, "N K"], index_NK: Int[Array, "N K"]) -> Float[Array, "N N"]:
    """Symmetric p_ij of all pairs, with sum 1, from p(j | i) of the neighbours of each point."""
    n = len(p_NK)
    p_NN = jnp.zeros((n, n), p_NK.dtype).at[jnp.arange(n)[:, None], index_NK].set(p_NK)
    return (p_NN + p_NN.T) / (2 * n)


def student_weights(y_N2: Float[Array, "N 2"]) -> Float[Array, "N N"]:
    """w_ij, with 1 on the diagonal."""
    return 1 / (1 + sum(jnp.square(y[:, None] - y[None]) for y in y_N2.T))


def kl_divergence(y_N2: Float[Array, "N 2"], p_NN: Float[Array, "N N"]) -> Float[Array, ""]:
    """KL(p | q) in nats."""
    weight = student_weights(y_N2)
    log_q = jnp.log(weight) - jnp.log(jnp.sum(weight) - len(y_N2))
    return jnp.sum(jnp.where(p_NN > 0, p_NN * (jnp.log(jnp.where(p_NN > 0, p_NN, 1)) - log_q), 0))


def kl_gradient(y_N2: Float[Array, "N 2"], p_NN: Float[Array, "N N"]) -> Float[Array, "N 2"]:
    """Gradient of `kl_divergence` by y.

    If p does not sum to 1, as under exaggeration, p scales the attraction only.
    """
    weight = student_weights(y_N2)
    pull_NN = (p_NN - weight / (jnp.sum(weight) - len(y_N2))) * weight
    return 4 * (jnp.sum(pull_NN, 1)[:, None] * y_N2 - pull_NN @ y_N2)


@functools.partial(jax.jit, static_argnames=("steps", "exaggerated"))
def descend_kl(
    y_N2: Float[Array, "N 2"],
    p_NN: Float[Array, "N N"],
    steps: int,
    exaggerated: int,
    exaggeration: float = 12.0,
) -> Float[Array, "N 2"]:
    """Runs `steps` of gradient descent with momentum and a gain per coordinate (Jacobs 1988).

    The first `exaggerated` steps multiply p by `exaggeration` and use momentum 0.5; later steps use
    0.8. The learning rate is max(N / exaggeration / 4, 50), the 4 from the gradient.
    """
    rate = jnp.maximum(len(y_N2) / exaggeration / 4, 50.0)

    def step(carry, i):
        y, velocity, gain = carry
        early = i < exaggerated
        slope = kl_gradient(y, p_NN * jnp.where(early, exaggeration, 1.0))
        gain = jnp.maximum(jnp.where(slope * velocity < 0, gain + RISE, gain * FALL), LEAST)
        velocity = jnp.where(early, 0.5, 0.8) * velocity - rate * gain * slope
        return (y + velocity, velocity, gain), None

    (y_N2, _, _), _ = jax.lax.scan(
        step, (y_N2, jnp.zeros_like(y_N2), jnp.ones_like(y_N2)), jnp.arange(steps)
    )
    return y_N2 - jnp.mean(y_N2, 0, keepdims=True)


@functools.partial(jax.jit, static_argnames="dimensions")
def principal_components(
    x_ND: Float[Array, "N D"], dimensions: int = 2
) -> Float[Array, "N dimensions"]:
    """Principal component scores; the largest |entry| of each direction is positive."""
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)
    _, axes = jnp.linalg.eigh(x_ND.T @ x_ND)
    axes = axes[:, ::-1][:, :dimensions]
    largest = jnp.take_along_axis(axes, jnp.argmax(jnp.abs(axes), 0)[None], 0)
    return x_ND @ (axes * jnp.sign(largest))


def tsne(
    x_ND: Float[Array, "N D"], perplexity: float = 30.0, steps: int = 1000, exaggerated: int = 250
) -> Float[Array, "N 2"]:
    """t-SNE embedding of the cloud in the plane.

    p is 0 outside of the 3 x perplexity nearest neighbours, as usual. The method of 2008 is
    `descend_kl` with `conditional_affinities` of all N - 1 neighbours. The start is the first two
    principal components scaled to standard deviation 1e-4, so the result depends on the data alone.

    Raises ValueError for a perplexity outside 1..N - 1, data with one dimension, points that are
    not finite, fewer than 4 points, or equal points only.
    """
    x_ND = checked_cloud(x_ND, least=4)
    n = len(x_ND)
    if x_ND.shape[1] < 2:
        raise ValueError("points on a line need no embedding in the plane")
    if not 1 <= perplexity <= n - 1:
        raise ValueError(
            f"perplexity must lie between 1 and {n - 1} for {n} points, got {perplexity}"
        )
    d2_NK, index_NK = nearest(jnp.asarray(x_ND), min(n - 1, int(3 * perplexity)))
    p_NN = joint_affinities(conditional_affinities(d2_NK, perplexity), index_NK)
    start = principal_components(jnp.asarray(x_ND))
    return descend_kl(start * (1e-4 / jnp.std(start[:, 0])), p_NN, steps, exaggerated)
