"""Expectation maximisation for Gaussian mixtures, as coordinate ascent on the evidence lower bound.

With p(x, z=k) = w_k N(x; mu_k, S_k) and any responsibilities r over the components of each point,

    log p(x)  =  ELBO(r) + KL(r | p(z | x)),      ELBO(r) = sum_k r_k (log w_k + log N(x; mu_k, S_k) - log r_k).

The E step sets r = p(z | x): the gap closes. The M step raises the bound: w_k = n_k / N, mu_k = sum r x / n_k, S_k the covariance weighted by r.
So the likelihood never falls. Covariances are full, diagonal, or one for all components. k-means is the limit of one vanishing variance for all.
Source: Dempster, Laird & Rubin 1977; Neal & Hinton 1998; Bishop, Pattern Recognition and Machine Learning, sections 9.2 to 9.4.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from panorax.core import struct
from panorax.core.errors import UserError
from panorax.core.ranges import Count, NonNegative, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets

Kind = Literal["full", "diagonal", "tied"]
KINDS: tuple[Kind, ...] = ("full", "diagonal", "tied")


@checked
class Config:
    steps: Count = 100
    """of EM"""
    restarts: Count = 10
    """from other starting points; the highest likelihood counts"""
    ridge: NonNegative = 1e-3
    """added to the variances"""
    directions: Count = 20
    """principal directions of the digits that are modelled"""
    seed: Whole = 0

    def __post_init__(self):
        if self.steps < 2 or self.directions > 60:
            raise UserError("steps must be at least 2, directions at most 60")


@struct.dataclass
class Mixture:
    """Weights that sum to 1, means, and covariances, kept whole whatever their kind."""

    weight: Float[Array, " K"]
    mean: Float[Array, "K D"]
    covariance: Float[Array, "K D D"]


def log_joint(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """log w_k + log N(x; mu_k, S_k)."""

    def component(weight, mean, covariance):
        factor = jnp.linalg.cholesky(covariance)
        square = jnp.sum(jnp.square(solve_triangular(factor, (x_ND - mean[None]).T, lower=True)), 0)
        return (
            jnp.log(weight)
            - 0.5 * (square + len(mean) * jnp.log(2 * jnp.pi))
            - jnp.sum(jnp.log(jnp.diagonal(factor)))
        )

    return jax.vmap(component, out_axes=1)(mixture.weight, mixture.mean, mixture.covariance)


def log_likelihood(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, " N"]:
    """log p(x) of each point."""
    return logsumexp(log_joint(mixture, x_ND), axis=1)


def elbo(
    mixture: Mixture, x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"]
) -> Float[Array, " N"]:
    """The bound at the top of this file, of each point, for any responsibilities."""
    return jnp.sum(
        jnp.where(
            r_NK > 0, r_NK * (log_joint(mixture, x_ND) - jnp.log(jnp.where(r_NK > 0, r_NK, 1))), 0
        ),
        1,
    )


def e_step(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """Responsibilities p(z = k | x)."""
    return jax.nn.softmax(log_joint(mixture, x_ND), axis=1)


def m_step(
    x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"], kind: Kind, ridge: float
) -> Mixture:
    """The mixture of this kind that maximises the bound; `ridge` is added to the variances, so that no component can shrink onto one point."""
    n_K = jnp.sum(r_NK, 0) + 10 * jnp.finfo(r_NK.dtype).eps
    mean = r_NK.T @ x_ND / n_K[:, None]
    difference = x_ND[:, None] - mean[None]
    scatter = jnp.einsum("NK,NKD,NKE->KDE", r_NK, difference, difference)
    if kind == "tied":
        covariance = jnp.broadcast_to(jnp.sum(scatter, 0) / jnp.sum(n_K), scatter.shape)
    else:
        covariance = scatter / n_K[:, None, None]
    eye = jnp.eye(x_ND.shape[1])[None]
    covariance = covariance * eye if kind == "diagonal" else covariance
    return Mixture(n_K / jnp.sum(n_K), mean, covariance + ridge * eye)


@functools.partial(jax.jit, static_argnames=("kind", "steps"))
def fit(x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"], kind: Kind, steps: int, ridge: float):
    """`steps` times M and E from the responsibilities given: the mixture, and the mean bound after every half step, (steps, 2): after M and after E,
    where it is the mean log likelihood."""

    def step(r_NK, _):
        mixture = m_step(x_ND, r_NK, kind, ridge)
        after = e_step(mixture, x_ND)
        return after, jnp.stack([jnp.mean(elbo(mixture, x_ND, r)) for r in (r_NK, after)])

    r_NK, bounds = jax.lax.scan(step, r_NK, length=steps)
    return m_step(x_ND, r_NK, kind, ridge), bounds


def start(key, x_ND: Float[Array, "N D"], components: int, steps: int = 20) -> Int[Array, " N"]:
    """The component of each point by k-means (Lloyd 1957) from means far apart (k-means++, Arthur & Vassilvitskii 2007). Raises ValueError for fewer
    points than components."""
    if not 1 <= components <= len(x_ND):
        raise ValueError(f"{len(x_ND)} points cannot start {components} components")
    x_ND = jnp.asarray(x_ND)
    key_first, key_next = jax.random.split(key)
    distances = lambda mean: jnp.sum(jnp.square(x_ND - mean[None]), 1)

    def another(nearest, key):
        mean = x_ND[jax.random.categorical(key, jnp.log(nearest))]
        return jnp.minimum(nearest, distances(mean)), mean

    first = x_ND[jax.random.randint(key_first, (), 0, len(x_ND))]
    _, others = jax.lax.scan(another, distances(first), jax.random.split(key_next, components - 1))
    means = jnp.concatenate([first[None], others])

    def lloyd(means, _):
        member = jax.nn.one_hot(nearest_mean(x_ND, means), components)
        count = jnp.sum(member, 0)[:, None]
        return jnp.where(count > 0, member.T @ x_ND / jnp.maximum(count, 1), means), None

    means, _ = jax.lax.scan(lloyd, means, length=steps)
    return nearest_mean(x_ND, means)


def nearest_mean(x_ND: Float[Array, "N D"], mean_KD: Float[Array, "K D"]) -> Int[Array, " N"]:
    """Index of the mean nearest to each point."""
    return jnp.argmin(jnp.sum(jnp.square(x_ND[:, None] - mean_KD[None]), -1), 1)


def sample_mixture(mixture: Mixture, key, n: int) -> Float[Array, "n D"]:
    """n points from the mixture."""
    key_component, key_noise = jax.random.split(key)
    z = jax.random.categorical(key_component, jnp.log(mixture.weight), shape=(n,))
    noise = jax.random.normal(key_noise, (n, mixture.mean.shape[1]))
    return mixture.mean[z] + jnp.einsum(
        "NDE,NE->ND", jnp.linalg.cholesky(mixture.covariance)[z], noise
    )


def best_of(key, x_ND, components: int, kind: Kind, cfg: Config):
    """The fit with the highest likelihood of `cfg.restarts`, and its bounds. Raises UserError for data that are not finite."""
    if not np.isfinite(x_ND).all():
        raise UserError("data to cluster must be finite numbers")
    labels = jax.vmap(lambda key: start(key, x_ND, components))(jax.random.split(key, cfg.restarts))
    mixtures, bounds = jax.vmap(
        lambda label: fit(x_ND, jax.nn.one_hot(label, components), kind, cfg.steps, cfg.ridge)
    )(labels)
    best = jnp.nanargmax(bounds[:, -1, 1])
    return jax.tree.map(lambda leaf: leaf[best], (mixtures, bounds))


def matched(found: np.ndarray, label: np.ndarray) -> float:
    """Share of points whose component is that of their class, classes and components paired to make it largest."""
    from scipy.optimize import linear_sum_assignment

    together = np.zeros((found.max() + 1, label.max() + 1), int)
    np.add.at(together, (found, label), 1)
    return together[linear_sum_assignment(-together)].sum() / len(label)


def study(cfg: Config, key) -> Result:
    """Every kind on Fisher's irises (3 components) and on the digits (10, in their first principal directions), k-means beside it; the bounds on the way."""
    key_iris, key_digits, key_sample = jax.random.split(key, 3)
    flowers, species = datasets.iris()
    pictures, label, held_pictures, _ = datasets.digit_vectors()
    mean, axes = (
        pictures.mean(0),
        np.linalg.svd(pictures - pictures.mean(0), full_matrices=False)[2][: cfg.directions],
    )
    x, held = (pictures - mean) @ axes.T, (held_pictures - mean) @ axes.T
    metrics, traces, mixtures = {}, {}, {}
    for kind in KINDS:
        mixture, bounds = best_of(key_iris, flowers, 3, kind, cfg)
        metrics[f"iris_matched_{kind}"] = matched(
            np.asarray(jnp.argmax(e_step(mixture, flowers), 1)), species
        )
        mixtures[kind], traces[kind] = best_of(key_digits, x, 10, kind, cfg)
        metrics[f"digits_matched_{kind}"] = matched(
            np.asarray(jnp.argmax(e_step(mixtures[kind], x), 1)), label
        )
        metrics[f"digits_held_out_{kind}"] = float(jnp.mean(log_likelihood(mixtures[kind], held)))
        half_steps = np.asarray(traces[kind], np.float64).ravel()
        metrics[f"largest_fall_{kind}"] = float(max(-np.diff(half_steps).min(), 0.0))
        gap = log_likelihood(mixture, flowers) - elbo(mixture, flowers, e_step(mixture, flowers))
        metrics[f"gap_after_e_{kind}"] = float(jnp.abs(gap).max())
    metrics["iris_matched_kmeans"] = matched(np.asarray(start(key_iris, flowers, 3)), species)
    metrics["largest_fall"] = max(metrics.pop(f"largest_fall_{kind}") for kind in KINDS)
    metrics["gap_after_e"] = max(metrics.pop(f"gap_after_e_{kind}") for kind in KINDS)
    drawn = sample_mixture(mixtures["full"], key_sample, 40) @ axes + mean[None]
    return Result(
        metrics,
        {
            "em.png": draw(
                traces, np.asarray(mixtures["full"].mean) @ axes + mean, np.asarray(drawn)
            )
        },
    )


def draw(traces, means: np.ndarray, drawn: np.ndarray):
    """The likelihood over the steps; what the components of the digits look like, and samples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    grid = figure.add_gridspec(5, 16)
    curve = figure.add_subplot(grid[:, :5])
    for kind, bounds in traces.items():
        curve.plot(np.asarray(bounds)[:, 1], label=kind)
    curve.set(title="digits: mean log likelihood", xlabel="step of EM")
    curve.legend(frameon=False)
    curve.grid(alpha=0.3)
    for i, picture in enumerate(np.concatenate([means, drawn])[:50]):
        ax = figure.add_subplot(grid[i // 10, 6 + i % 10])
        ax.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
        ax.set_axis_off()
        if i == 4:
            ax.set_title("the means of the components; below them, samples", fontsize=10)
    return figure
