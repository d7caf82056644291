"""Intrinsic dimension of clouds whose dimension is known, and of the handwritten digits.

Each cloud gets every estimate of `panorax.maths.clouds.dimension`: TwoNN, maximum likelihood at
several scales, and local principal components.
Source: Facco et al. 2017; Levina & Bickel 2004; Pope et al. 2021, arXiv:2104.08894.
"""

from typing import NamedTuple

import jax
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.data import datasets
from panorax.maths.clouds.dimension import (
    likelihood_dimensions,
    local_pca,
    sphere,
    swiss_roll,
    two_nn,
)

ROLL_NOISE = 0.02
"""standard deviation of the noise on the noisy swiss roll"""


class Estimates(NamedTuple):
    """Estimated dimensions of one cloud."""

    two_nn: float
    """estimate from the ratio of the distances of two neighbours"""
    local_pca: float
    """mean number of local principal directions that hold 95% of the variance"""
    by_likelihood: dict[int, float]
    """maximum likelihood estimate for each number of neighbours k"""


def sampled_clouds(key, points: int, spheres: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Spheres, swiss rolls with and without noise, and the distinct digits, each (N, D)."""
    key_roll, key_noisy, *keys = jax.random.split(key, 2 + len(spheres))
    clouds = {f"sphere_{d}": sphere(key, points, d) for d, key in zip(spheres, keys, strict=True)}
    clouds["roll"], _ = swiss_roll(key_roll, points)
    clouds["roll_noisy"], _ = swiss_roll(key_noisy, points, ROLL_NOISE)
    pictures, _, held_pictures, _ = datasets.digit_vectors()
    clouds["digits"] = np.unique(np.concatenate([pictures, held_pictures]), axis=0)
    return clouds


def estimated(x_ND, neighbors: tuple[int, ...]) -> Estimates:
    """All estimates of one cloud; local PCA uses the second of `neighbors`."""
    from_3 = np.asarray(likelihood_dimensions(x_ND, max(neighbors)))
    by_likelihood = {k: float(from_3[k - 3]) for k in neighbors}
    return Estimates(two_nn(x_ND), local_pca(x_ND, neighbors[1]), by_likelihood)


def metrics_of(estimates: dict[str, Estimates], named: int) -> dict[str, float]:
    """Metrics of all clouds; `mle_CLOUD` is the estimate from `named` neighbours."""
    by_scale = {
        (cloud, k): dimension
        for cloud, each in estimates.items()
        for k, dimension in each.by_likelihood.items()
    }
    return {
        **family("mle_{}_k{}", by_scale),
        **family("two_nn_{}", {cloud: each.two_nn for cloud, each in estimates.items()}),
        **family("pca_{}", {cloud: each.local_pca for cloud, each in estimates.items()}),
        **family("mle_{}", {cloud: by_scale[cloud, named] for cloud in estimates}),
    }


def draw_estimates(estimates: dict[str, Estimates]):
    """Estimated dimension over the number of neighbours, a colour for each cloud."""
    figure, (ax,) = figures.panels(width=6, height=4.2)
    for cloud, each in estimates.items():
        scales, values = [*each.by_likelihood], [*each.by_likelihood.values()]
        (line,) = ax.loglog(scales, values, "-o", ms=4, label=cloud.replace("_", " "))
        ax.plot(2, each.two_nn, "s", color=line.get_color())
    ax.set(title="maximum likelihood (lines) and TwoNN (squares)")
    ax.set(xlabel="neighbours k", ylabel="estimated dimension")
    ax.set_xticks([2, *scales], map(str, [2, *scales]))
    ax.xaxis.minorticks_off()
    ax.set_yticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"])
    return figures.legends(figure, ncols=2)


def dimensions(key, points: int, spheres: tuple[int, ...], neighbors: tuple[int, ...]) -> Result:
    """Estimates for every cloud, at every number of neighbours in `neighbors`."""
    clouds = sampled_clouds(key, points, spheres)
    estimates = {cloud: estimated(x, neighbors) for cloud, x in clouds.items()}
    metrics = metrics_of(estimates, named=neighbors[1])
    return Result(metrics, {"dimensions.png": draw_estimates(estimates)})
