"""Mutual information from samples: the KSG estimator and neural lower bounds.

KSG (Kraskov, Stögbauer & Grassberger 2004, arXiv:cond-mat/0305641, eq. 8): e_i is the max norm
distance from point i to its k-th neighbour in the joint space. c_x(i) counts the points x_j closer
to x_i than e_i, including x_i; c_y(i) likewise. With the digamma function psi,

    I  ~  psi(k) + psi(N) - mean_i [psi(c_x(i)) + psi(c_y(i))].

Lower bounds (Poole et al. 2019, arXiv:1905.06922) from critic scores f(x_i, y_j). E_p is the mean
over the pairs i = j, E_q the mean over i /= j, for which x and y are independent:

    DV       E_p f - log E_q e^f                           Donsker & Varadhan 1983; a large value
             needs e^I samples (McAllester & Stratos 2020, arXiv:1811.04251)
    NWJ      E_p f - E_q e^(f - 1)                         Nguyen, Wainwright & Jordan 2010
    InfoNCE  E_i [f_ii - log 1/B sum_j e^f_ij] <= log B   van den Oord et al. 2018, arXiv:1807.03748
    MINE     DV with the gradient E_p f' - E_q f' e^f / m, a moving average m replacing the batch
             mean E_q e^f (Belghazi et al. 2018, arXiv:1801.04062)

DV of one batch is not a bound: the log of a mean over few samples is biased downwards, so the
estimate may exceed the truth. For Gaussians with correlation r in each of d dimensions,
I = -d/2 log(1 - r^2).
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
        raise ValueError(f"correlation must lie between -1 and 1, got {correlation}")
    return -0.5 * dimensions * math.log1p(-(correlation**2))


def correlated_gaussians(
    key, n: int, dimensions: int, nats
) -> tuple[Float[Array, "n D"], Float[Array, "n D"]]:
    """Draws n pairs of standard normal vectors with mutual information `nats`.

    y = r x + sqrt(1 - r^2) e with 1 - r^2 = e^(-2 nats / d).
    """
    key_x, key_noise = jax.random.split(key)
    x, noise = (jax.random.normal(key, (n, dimensions)) for key in (key_x, key_noise))
    return x, jnp.sqrt(-jnp.expm1(-2 * nats / dimensions)) * x + jnp.exp(-nats / dimensions) * noise


@functools.partial(jax.jit, static_argnames=("k", "block"))
def neighbour_counts(
    x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int, block: int
) -> tuple[Float[Array, " N"], Int[Array, " N"], Int[Array, " N"]]:
    """e_i, c_x(i) and c_y(i) of the KSG estimator.

    The distances of `block` points to all others are in memory at a time.
    """

    def counts(point):
        x, y = point
        to_x = jnp.max(jnp.abs(x_ND.T - x[:, None]), 0)
        to_y = jnp.max(jnp.abs(y_NE.T - y[:, None]), 0)
        distance = jnp.maximum(to_x, to_y)

        def grow(_, radius):
            """The next larger distance, unless more than k points lie within `radius`."""
            following = jnp.min(jnp.where(distance > radius, distance, jnp.inf))
            return jnp.where(jnp.sum(distance <= radius) > k, radius, following)

        # k passes are faster than a sort
        radius = jax.lax.fori_loop(0, k, grow, jnp.zeros((), distance.dtype))
        return radius, jnp.sum(to_x < radius), jnp.sum(to_y < radius)

    return jax.lax.map(counts, (x_ND, y_NE), batch_size=block)


def ksg(x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int = 3, block: int = 64) -> float:
    """KSG estimate of the mutual information in nats; it may be negative for a small information.

    Raises ValueError for shapes other than (N, D) and (N, E), for k outside 1..N - 1, for values
    that are not finite, and if k + 1 pairs are equal: repeated data have no density.
    """
    shapes = np.shape(x_ND), np.shape(y_NE)
    two_axes = np.ndim(x_ND) == np.ndim(y_NE) == 2
    if not two_axes or len(x_ND) != len(y_NE) or 0 in shapes[0] + shapes[1]:
        raise ValueError(f"x and y must be (N, D) and (N, E), got {shapes[0]} and {shapes[1]}")
    if not 1 <= k < len(x_ND):
        raise ValueError(f"k must lie between 1 and N - 1 for N = {len(x_ND)} points, got {k}")
    if not (np.isfinite(x_ND).all() and np.isfinite(y_NE).all()):
        raise ValueError("x and y must be finite numbers")
    radius, *counts = neighbour_counts(
        jnp.asarray(x_ND), jnp.asarray(y_NE), k, min(block, len(x_ND))
    )
    if not np.all(radius):
        raise ValueError(
            f"a pair (x, y) occurs {k + 1} times in the data: add a little noise or raise k"
        )
    return float(
        digamma(k) + digamma(len(x_ND)) - sum(jnp.mean(digamma(count)) for count in counts)
    )


def _paired_and_unpaired(score_BB) -> tuple[Float[Array, " B"], Float[Array, " n"]]:
    """The diagonal and the off-diagonal entries."""
    b = len(score_BB)
    if score_BB.shape != (b, b) or b < 2:
        raise ValueError(f"scores must have shape (B, B) with B at least 2, got {score_BB.shape}")
    # without its first entry, the matrix in rows of b + 1 entries ends each row with the diagonal
    rows = score_BB.reshape(-1)[1:].reshape(b - 1, b + 1)
    return jnp.diagonal(score_BB), rows[:, :-1].reshape(-1)


def log_mean_exp(x: Float[Array, " n"]) -> Float[Array, ""]:
    """log 1/n sum e^x."""
    return jax.nn.logsumexp(x) - math.log(x.size)


def donsker_varadhan(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_p f - log E_q e^f.

    Like all bounds here, raises ValueError unless the scores are square with at least two rows.
    """
    paired, unpaired = _paired_and_unpaired(score_BB)
    return jnp.mean(paired) - log_mean_exp(unpaired)


def nwj(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_p f - E_q e^(f - 1)."""
    paired, unpaired = _paired_and_unpaired(score_BB)
    return jnp.mean(paired) - jnp.mean(jnp.exp(unpaired - 1))


def infonce(score_BB: Float[Array, "B B"]) -> Float[Array, ""]:
    """E_i [f_ii - log 1/B sum_j e^f_ij], at most log B."""
    paired, _ = _paired_and_unpaired(score_BB)
    return jnp.mean(paired - jax.nn.logsumexp(score_BB, 1)) + math.log(len(score_BB))


def mine_loss(
    score_BB: Float[Array, "B B"], average: Float[Array, ""], rate: float
) -> Float[Array, ""]:
    """Surrogate loss with MINE's gradient in the scores; its value has no meaning.

    The loss is -E_p f + E_q e^f / m with m = average + rate (E_q e^f - average) held fixed.
    `average` is a parameter: gradient descent at learning rate `rate` sets it to m.
    """
    paired, unpaired = _paired_and_unpaired(score_BB)
    mean = jnp.mean(jnp.exp(unpaired))
    target = jax.lax.stop_gradient(mean)
    m = jax.lax.stop_gradient(average + rate * (target - average))
    return mean / m - jnp.mean(paired) + 0.5 * jnp.square(average - target)


def critic_spec(dimensions: int, hidden: int, features: int = 32):
    """Spec of the critic f(x, y) = g(x) . h(y), g and h MLPs with two hidden layers."""
    side = {
        "body": mlp.spec((dimensions, hidden, hidden)),
        "head": mlp.dense_spec(hidden, features, mlp.fan_in(0.3)),
    }
    return {"x": side, "y": side}


def scores(params, x_BD: Float[Array, "B D"], y_BD: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """f(x_i, y_j) for all i and j."""
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
"""the estimate of each neural estimator, which is also its objective except for MINE"""


def climb(
    names: tuple[str, ...], pairs: Callable, spec, key, steps: int, lr: float, rate: float = 0.01
) -> dict:
    """Trains one critic for each bound of `names` and returns the critics by name.

    Each critic maximises its bound with `steps` Adam steps under a cosine decay from `lr` to 0. All
    critics have the same initial parameters and batches. Pure, so it can be vmapped over keys.

    pairs: `pairs(key)` draws a batch (x, y).
    rate: rate of MINE's moving average.
    """
    key_init, key_steps = jax.random.split(key)
    critic = core_spec.init(spec, key_init)
    adam = optax.adam(optax.cosine_decay_schedule(lr, steps))

    def loss(params, key):
        x, y = pairs(key)
        score = {name: scores(critic, x, y) for name, critic in params["critics"].items()}
        return sum(
            mine_loss(score[name], params["average"], rate)
            if name == "mine"
            else -BOUNDS[name](score[name])
            for name in score
        )

    tx = optax.partition(
        {"adam": adam, "average": optax.sgd(rate)}, {"critics": "adam", "average": "average"}
    )
    params = {"critics": dict.fromkeys(names, critic), "average": jnp.ones(())}
    return descend(loss, tx, params, jax.random.split(key_steps, steps))[0]["critics"]
