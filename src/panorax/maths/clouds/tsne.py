"""t-SNE: points of the plane whose neighbourhoods, as probabilities, are those of a cloud in many dimensions.

    p(j | i) = exp(-b_i |x_i - x_j|^2) / sum_k ..,  b_i such that the entropy of p(. | i) is log(perplexity);    p_ij = (p(j | i) + p(i | j)) / 2N
    q_ij = w_ij / Z,  w_ij = 1 / (1 + |y_i - y_j|^2),  Z = sum_{k != l} w_kl;    loss = KL(p | q) = sum p_ij log(p_ij / q_ij)
    d loss / d y_i = 4 sum_j (p_ij - q_ij) w_ij (y_i - y_j)

The tail of q, a Student distribution, is heavy, so that what is moderately far in many dimensions may lie far in the plane: there is no room there
otherwise. p is multiplied at first (early exaggeration): clusters form while they can still pass one another. The sum over all pairs is exact, and one
program: no tree, no grid.
Source: van der Maaten & Hinton 2008; start and learning rate of Kobak & Berens 2019; Belkina et al. 2019.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.maths.clouds.neighbors import checked_cloud, nearest

HALVINGS = 50
"""of the interval in which log b is sought, from e^-30 to e^30 by the mean of the distances"""
RISE, FALL, LEAST = 0.2, 0.8, 0.01
"""a gain rises by the first where a coordinate keeps its direction, is multiplied by the second where it turns, and is never below the third"""


def conditional_affinities(d2_NK: Float[Array, "N K"], perplexity: float) -> Float[Array, "N K"]:
    """p(j | i) of the K neighbours whose squared distances are given, rows that sum to 1. Precision by bisection. Raises ValueError unless
    1 <= perplexity <= K."""
    if not 1 <= perplexity <= d2_NK.shape[1]:
        raise ValueError(
            f"perplexity must be from 1 to the number of neighbours, {d2_NK.shape[1]}, got {perplexity}"
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
    """p_ij of all pairs, symmetric, which sum to 1, from p(j | i) of each point's neighbours."""
    n = len(p_NK)
    p_NN = jnp.zeros((n, n), p_NK.dtype).at[jnp.arange(n)[:, None], index_NK].set(p_NK)
    return (p_NN + p_NN.T) / (2 * n)


def student_weights(y_N2: Float[Array, "N 2"]) -> Float[Array, "N N"]:
    """w_ij; 1 on the diagonal."""
    return 1 / (1 + sum(jnp.square(y[:, None] - y[None]) for y in y_N2.T))


def kl_divergence(y_N2: Float[Array, "N 2"], p_NN: Float[Array, "N N"]) -> Float[Array, ""]:
    """KL(p | q) in nats."""
    weight = student_weights(y_N2)
    log_q = jnp.log(weight) - jnp.log(jnp.sum(weight) - len(y_N2))
    return jnp.sum(jnp.where(p_NN > 0, p_NN * (jnp.log(jnp.where(p_NN > 0, p_NN, 1)) - log_q), 0))


def kl_gradient(y_N2: Float[Array, "N 2"], p_NN: Float[Array, "N N"]) -> Float[Array, "N 2"]:
    """That of `kl_divergence` for p that need not sum to 1, in which case it is the gradient of p's pull and the same push."""
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
    """`steps` of gradient descent with momentum and a gain for each coordinate (Jacobs 1988), the first `exaggerated` of them with p times `exaggeration`
    and momentum 0.5, the others with 0.8. The learning rate is N / exaggeration / 4 (the 4 is that of the gradient), 50 at least."""
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
    """Coordinates along the directions of largest variance, of which each points to where its largest entry is positive."""
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)
    _, axes = jnp.linalg.eigh(x_ND.T @ x_ND)
    axes = axes[:, ::-1][:, :dimensions]
    return x_ND @ (
        axes * jnp.sign(jnp.take_along_axis(axes, jnp.argmax(jnp.abs(axes), 0)[None], 0))
    )


def tsne(
    x_ND: Float[Array, "N D"], perplexity: float = 30.0, steps: int = 1000, exaggerated: int = 250
) -> Float[Array, "N 2"]:
    """The cloud in the plane; p of its 3 x perplexity nearest neighbours, as is usual, all others being 0
    (`conditional_affinities` of all N - 1 others and `descend_kl` are the method of 2008). It starts from the two principal components, with
    standard deviation 1e-4, so the result is a function of the data alone.

    Raises ValueError for a perplexity below 1 or above N - 1, points that are not finite, fewer than 4, or all the same, and data of one dimension.
    """
    x_ND = checked_cloud(x_ND, least=4)
    n = len(x_ND)
    if x_ND.shape[1] < 2:
        raise ValueError("points of a line need no map to the plane")
    if not 1 <= perplexity <= n - 1:
        raise ValueError(
            f"perplexity must be from 1 to one less than the {n} points, got {perplexity}"
        )
    d2_NK, index_NK = nearest(jnp.asarray(x_ND), min(n - 1, int(3 * perplexity)))
    p_NN = joint_affinities(conditional_affinities(d2_NK, perplexity), index_NK)
    start = principal_components(jnp.asarray(x_ND))
    return descend_kl(start * (1e-4 / jnp.std(start[:, 0])), p_NN, steps, exaggerated)
