"""Expectation maximisation for Gaussian mixtures, as coordinate ascent on the evidence lower bound.

The bound and both steps are in `panorax.maths.inference.mixture`. The study measures, on Fisher's
irises (three components) and on the digits (ten components, first principal directions):

    largest_fall     the largest decrease of the mean ELBO in any half step, in nats per point
    gap_after_e      the largest |log p(x) - ELBO(r)| after an E step, in nats
    *_matched_*      the share of points in the component paired with their class
    *_held_out_*     the mean log likelihood of held-out digits, in nats

Covariances are full, diagonal, or tied (one for all components). The baseline is k-means, the limit
of equal, vanishing variances.
Source: Dempster, Laird & Rubin 1977; Neal & Hinton 1998; Bishop 2006, sections 9.2 to 9.4.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, NonNegative, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths.inference.mixture import (
    KINDS,
    Kind,
    Mixture,
    e_step,
    elbo,
    fit,
    k_means,
    log_likelihood,
    sample_mixture,
)


@checked
class Config:
    steps: Count = 100
    """EM steps of each fit"""
    restarts: Count = 10
    """k-means starts of each fit; the fit of highest likelihood is kept"""
    ridge: NonNegative = 1e-3
    """constant added to the variances"""
    directions: Count = 20
    """principal directions of the digits that are modelled, at most 60"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.steps < 2 or self.directions > 60:
            raise UserError("steps must be at least 2, directions at most 60")


class Fit(NamedTuple):
    """A mixture, and the mean ELBO after each M step and each E step."""

    mixture: Mixture
    bounds: np.ndarray

    @property
    def largest_fall(self) -> float:
        """Largest decrease of the mean ELBO in any half step, in nats per point."""
        half_steps = np.asarray(self.bounds, np.float64).ravel()
        return max(-np.diff(half_steps).min(), 0.0)

    def gap_after_e(self, x) -> float:
        """Largest |log p(x) - ELBO| over the points after an E step, in nats."""
        bound = elbo(self.mixture, x, e_step(self.mixture, x))
        return float(jnp.abs(log_likelihood(self.mixture, x) - bound).max())

    def matched(self, x, label: np.ndarray) -> float:
        """Share of points whose most probable component is paired with their class."""
        return matched(np.asarray(jnp.argmax(e_step(self.mixture, x), 1)), label)


def best_of(key, x_ND, components: int, kind: Kind, cfg: Config) -> Fit:
    """The fit with the highest likelihood among `cfg.restarts`.

    Raises UserError if the data are not finite.
    """
    if not np.isfinite(x_ND).all():
        raise UserError("data to cluster must be finite numbers")
    starts = jax.vmap(lambda key: k_means(key, x_ND, components))(
        jax.random.split(key, cfg.restarts)
    )
    mixtures, bounds = jax.vmap(
        lambda start: fit(x_ND, jax.nn.one_hot(start, components), kind, cfg.steps, cfg.ridge)
    )(starts)
    best = jnp.nanargmax(bounds[:, -1, 1])
    return Fit(*jax.tree.map(lambda leaf: leaf[best], (mixtures, bounds)))


def matched(component: np.ndarray, label: np.ndarray) -> float:
    """Share of points in the component paired with their class, under the best pairing."""
    from scipy.optimize import linear_sum_assignment

    together = np.zeros((component.max() + 1, label.max() + 1), int)
    np.add.at(together, (component, label), 1)
    return together[linear_sum_assignment(-together)].sum() / len(label)


def irises(key, cfg: Config) -> Result:
    """Three components on the irises, beside k-means."""
    x, species = datasets.iris()
    fits = {kind: best_of(key, x, 3, kind, cfg) for kind in KINDS}
    metrics = family("iris_matched_{}", {kind: f.matched(x, species) for kind, f in fits.items()})
    metrics["iris_matched_kmeans"] = matched(np.asarray(k_means(key, x, 3)), species)
    metrics["gap_after_e"] = max(f.gap_after_e(x) for f in fits.values())
    return Result(metrics)


def digits(key, cfg: Config) -> Result:
    """Ten components on the digits, in their first principal directions."""
    key_fit, key_sample = jax.random.split(key)
    pictures, label, held_pictures, _ = datasets.digit_vectors()
    mean = pictures.mean(0)
    axes = np.linalg.svd(pictures - mean, full_matrices=False)[2][: cfg.directions]
    x, held = (pictures - mean) @ axes.T, (held_pictures - mean) @ axes.T
    fits = {kind: best_of(key_fit, x, 10, kind, cfg) for kind in KINDS}
    held_out = {kind: jnp.mean(log_likelihood(f.mixture, held)) for kind, f in fits.items()}
    metrics = family("digits_matched_{}", {kind: f.matched(x, label) for kind, f in fits.items()})
    metrics |= family("digits_held_out_{}", held_out)
    metrics["largest_fall"] = max(f.largest_fall for f in fits.values())
    codes = np.concatenate(
        [fits["full"].mixture.mean, sample_mixture(fits["full"].mixture, key_sample, 40)]
    )
    return Result(
        metrics,
        {"likelihood.png": draw_bounds(fits), "components.png": draw_codes(codes @ axes + mean)},
    )


def draw_bounds(fits: dict[Kind, Fit]):
    """The mean log likelihood of the digits over the EM steps."""
    figure, (ax,) = figures.panels()
    for kind, f in fits.items():
        ax.plot(np.asarray(f.bounds)[:, 1], label=kind)
    ax.set(title="EM on the digits", xlabel="EM step", ylabel="mean log likelihood (nats)")
    return figures.legends(figure)


def draw_codes(images: np.ndarray):
    """The ten means of the components in the first row, samples below."""
    figure = figures.pictures(images.reshape(-1, 8, 8), columns=10, vmin=-1, vmax=1)
    figure.suptitle("component means (first row) and samples", fontsize=11)
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Mixtures of every kind of covariance on two data sets."""
    return {
        "irises": functools.partial(irises, cfg=cfg),
        "digits": functools.partial(digits, cfg=cfg),
    }
