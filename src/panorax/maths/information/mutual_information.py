"""Mutual information from samples: the estimator of neighbours, and lower bounds that a critic climbs.

Neighbours (Kraskov, Stögbauer & Grassberger 2004, arXiv:cond-mat/0305641, equation 8): e_i is the distance from point i to its k-th neighbour in the
joint space, in the max norm; c_x(i) counts the points x_j nearer to x_i than e_i, itself included, c_y(i) likewise, and, psi the digamma function,

    I  ~  psi(k) + psi(N) - mean_i [psi(c_x(i)) + psi(c_y(i))].

Bounds (Poole et al. 2019, arXiv:1905.06922) with scores f(x_i, y_j), whose diagonal is of pairs, E_q the mean over i /= j, where x and y are independent:

    DV       E_p f - log E_q e^f                            Donsker & Varadhan 1983; McAllester & Stratos 2020 (arXiv:1811.04251): large only with e^I samples
    NWJ      E_p f - E_q e^(f - 1)                          Nguyen, Wainwright & Jordan 2010
    InfoNCE  E_i [f_ii - log 1/B sum_j e^f_ij] <= log B     van den Oord et al. 2018, arXiv:1807.03748
    MINE     DV, its gradient E_p f' - E_q f' e^f / m with a moving average m instead of the batch's own E_q e^f      Belghazi et al. 2018, arXiv:1801.04062

DV of one batch is not a bound: the log of a mean over few samples is too low on average, so that the estimate may lie above the truth. Of Gaussians
with correlation r in each of d dimensions I = -d/2 log(1 - r^2).
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import digamma
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.step import descend
from panorax.nets import mlp


def gaussian_information(correlation: float, dimensions: int) -> float:
    """-d/2 log(1 - r^2), in nats. Raises ValueError unless -1 < r < 1."""
    if not -1 < correlation < 1:
        raise ValueError(
            f"the information is finite for correlations between -1 and 1, got {correlation}"
        )
    return -0.5 * dimensions * math.log1p(-(correlation**2))


def correlated_gaussians(
    key, n: int, dimensions: int, nats
) -> tuple[Float[Array, "n D"], Float[Array, "n D"]]:
    """n pairs of standard normal vectors that share `nats`: y = r x + sqrt(1 - r^2) e, where 1 - r^2 = e^(-2 nats / d)."""
    key_x, key_noise = jax.random.split(key)
    x, noise = (jax.random.normal(key, (n, dimensions)) for key in (key_x, key_noise))
    return x, jnp.sqrt(-jnp.expm1(-2 * nats / dimensions)) * x + jnp.exp(-nats / dimensions) * noise


@functools.partial(jax.jit, static_argnames=("k", "block"))
def neighbour_counts(x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int, block: int):
    """e_i, c_x(i) and c_y(i) as at the top of this file; distances of `block` points to all others are in memory at a time."""

    def of_point(point) -> tuple[Float[Array, ""], Int[Array, ""], Int[Array, ""]]:
        x, y = point
        to_x, to_y = (
            jnp.max(jnp.abs(some.T - one[:, None]), 0) for some, one in ((x_ND, x), (y_NE, y))
        )
        distance = jnp.maximum(to_x, to_y)

        def outwards(_, radius):
            """The next larger distance, unless k points beside the point itself are within this one: k passes are faster than a sort."""
            following = jnp.min(jnp.where(distance > radius, distance, jnp.inf))
            return jnp.where(jnp.sum(distance <= radius) > k, radius, following)

        radius = jax.lax.fori_loop(0, k, outwards, jnp.zeros((), distance.dtype))
        return radius, jnp.sum(to_x < radius), jnp.sum(to_y < radius)

    return jax.lax.map(of_point, (x_ND, y_NE), batch_size=block)


def ksg(x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int = 3, block: int = 64) -> float:
    """The estimate of neighbours, in nats. It may be negative where there is little information.

    Raises ValueError for other shapes than (N, D) and (N, E), for k outside 1 .. N - 1, for numbers that are not finite, and where k + 1 pairs are equal: the
    estimator is one of densities, and data that repeat have none.
    """
    if (
        np.ndim(x_ND) != 2
        or np.ndim(y_NE) != 2
        or len(x_ND) != len(y_NE)
        or 0 in np.shape(x_ND) + np.shape(y_NE)
    ):
        raise ValueError(
            f"x and y must be (N, D) and (N, E), got {np.shape(x_ND)} and {np.shape(y_NE)}"
        )
    if not 1 <= k < len(x_ND):
        raise ValueError(f"{len(x_ND)} points have no neighbour number {k}")
    if not (np.isfinite(x_ND).all() and np.isfinite(y_NE).all()):
        raise ValueError("x and y must be finite numbers")
    radius, *counts = neighbour_counts(
        jnp.asarray(x_ND), jnp.asarray(y_NE), k, min(block, len(x_ND))
    )
    if not np.all(radius):
        raise ValueError(
            f"some pair (x, y) stands {k + 1} times in the data: add a little noise, or take a larger k"
        )
    return float(
        digamma(k) + digamma(len(x_ND)) - sum(jnp.mean(digamma(count)) for count in counts)
    )


def _pairs_and_others(score_BB) -> tuple[Float[Array, " B"], Float[Array, " n"]]:
    """The diagonal, and what is beside it."""
    b = len(score_BB)
    if score_BB.shape != (b, b) or b < 2:
        raise ValueError(
            f"scores must be of all x with all y, (B, B) with B at least 2, got {score_BB.shape}"
        )
    # without its first entry and cut into rows of b + 1, the matrix has its diagonal at the end of each
    return jnp.diagonal(score_BB), score_BB.reshape(-1)[1:].reshape(b - 1, b + 1)[:, :-1].reshape(
        -1
    )


def log_mean_exp(x: Float[Array, " n"]) -> Float[Array, ""]:
    """log 1/n sum e^x."""
    return jax.nn.logsumexp(x) - math.log(x.size)


def donsker_varadhan(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_p f - log E_q e^f. Raises ValueError unless the scores are square, with two rows at least; so do the other bounds."""
    pairs, others = _pairs_and_others(score_BB)
    return jnp.mean(pairs) - log_mean_exp(others)


def nwj(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_p f - E_q e^(f - 1)."""
    pairs, others = _pairs_and_others(score_BB)
    return jnp.mean(pairs) - jnp.mean(jnp.exp(others - 1))


def infonce(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_i [f_ii - log 1/B sum_j e^f_ij]: never above log B."""
    pairs, _ = _pairs_and_others(score_BB)
    return jnp.mean(pairs - jax.nn.logsumexp(score_BB, 1)) + math.log(len(score_BB))


def mine_loss(
    score_BB: Float[Array, "B B"], average: Float[Array, ""], rate: float
) -> Float[Array, ""]:
    """A loss with MINE's gradient in the scores: -E_p f + E_q e^f / m, m = average + rate (E_q e^f - average) held fixed. Plain descent at this rate in
    `average` makes it m, so that it needs no state beside the parameters. The value means nothing."""
    pairs, others = _pairs_and_others(score_BB)
    mean = jnp.mean(jnp.exp(others))
    here = jax.lax.stop_gradient(mean)
    m = jax.lax.stop_gradient(average + rate * (here - average))
    return mean / m - jnp.mean(pairs) + 0.5 * jnp.square(average - here)


def critic_spec(dimensions: int, hidden: int, features: int = 32):
    """Parameters of f(x, y) = g(x) . h(y), g and h perceptrons with two hidden layers."""
    side = {
        "body": mlp.spec((dimensions, hidden, hidden)),
        "head": mlp.dense_spec(hidden, features, mlp.fan_in(0.3)),
    }
    return {"x": side, "y": side}


def scores(params, x_BD: Float[Array, "B D"], y_BD: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """f(x_i, y_j) of all i and j."""
    g, h = (
        mlp.dense(params[name]["head"], mlp.apply(params[name]["body"], z, jax.nn.relu))
        for name, z in (("x", x_BD), ("y", y_BD))
    )
    return g @ h.T


BOUNDS: dict[str, Callable] = {
    "infonce": infonce,
    "dv": donsker_varadhan,
    "mine": donsker_varadhan,
    "nwj": nwj,
}
"""What each neural estimator reports; all but MINE climb what they report."""


def climb(
    names: tuple[str, ...], pairs: Callable, spec, key, steps: int, lr: float, rate: float = 0.01
) -> dict:
    """By name, a critic for each of the bounds `names`, after `steps` of Adam up its bound, the learning rate falling from `lr` to 0. All start alike and see the
    same batches: `pairs(key)` draws a fresh one, (x, y). `rate` is of MINE's moving average. Pure: `vmap` it over keys."""
    key_init, key_steps = jax.random.split(key)
    critic, adam = (
        core_spec.init(spec, key_init),
        optax.adam(optax.cosine_decay_schedule(lr, steps)),
    )

    def loss(params, key):
        x, y = pairs(key)
        of = {name: scores(critic, x, y) for name, critic in params["critics"].items()}
        return sum(
            mine_loss(score, params["average"], rate) if name == "mine" else -BOUNDS[name](score)
            for name, score in of.items()
        )

    tx = optax.partition(
        {"adam": adam, "average": optax.sgd(rate)}, {"critics": "adam", "average": "average"}
    )
    params = {"critics": dict.fromkeys(names, critic), "average": jnp.ones(())}
    return descend(loss, tx, params, jax.random.split(key_steps, steps))[0]["critics"]
