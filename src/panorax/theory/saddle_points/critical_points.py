"""Critical points of isotropic Gaussian random fields: found by Newton's method, counted by theory.

The Kac-Rice formula (`panorax.maths.random_fields`) gives the share of each index and the mean
value of its points in d dimensions. Index grows with value (Bray & Dean 2007; Dauphin et al. 2014,
arXiv:1406.2572). Minima become rare with d, but not as 2^-d, the share for independent signs of
the eigenvalues. Without the common shift of the eigenvalues, as in the GOE, they are far rarer
(Dean & Majumdar 2006).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths import random_fields as fields

VOLUME = 6.0
"""volume of the box that is searched, in every dimension"""


class Theory(NamedTuple):
    """Kac-Rice estimates in one dimension d."""

    shares: np.ndarray
    """share of each index among the critical points, (d + 1,)"""
    error: float
    """standard error of the share of minima"""
    values: np.ndarray
    """mean value of the critical points of each index, (d + 1,)"""

    @property
    def minima(self) -> float:
        """Share of minima among the critical points."""
        return float(self.shares[0])


class Search(NamedTuple):
    """Critical points that Newton's method found in one dimension d."""

    points: np.ndarray
    """number of critical points in each field, (fields,)"""
    minima: np.ndarray
    """number of minima in each field, (fields,)"""
    value: np.ndarray
    """value of each critical point of all fields, (points,)"""
    index: np.ndarray
    """number of negative eigenvalues of the Hessian at each critical point, (points,)"""
    starts_in_minima: float
    """share of the successful starts that end in a minimum"""

    @property
    def share(self) -> float:
        """Share of minima among the critical points."""
        return float(self.minima.sum() / max(self.points.sum(), 1))

    def error(self, expected: float) -> float:
        """Standard error of `share` about `expected`, from residuals of the independent fields."""
        residual = self.minima - expected * self.points
        return float((residual**2).sum() ** 0.5 / max(self.points.sum(), 1))


def kac_rice(matrices, d: int) -> Theory:
    """Estimates from GOE matrices (n, D, D) with D > d, of which the leading blocks are used."""
    block = matrices[:, : d + 1, : d + 1]
    weight, value = (np.asarray(part, np.float64) for part in fields.kac_rice(block))
    shares = weight.mean(0) / weight.mean(0).sum()
    residual = (weight[:, 0] - shares[0] * weight.sum(1)) / weight.mean(0).sum()
    error = residual.std(ddof=1) / len(matrices) ** 0.5
    values = (weight * value).sum(0) / weight.sum(0)
    return Theory(shares, float(error), values)


def expected_points(matrices, d: int) -> float:
    """Mean number of critical points of one field in the box, from GOE matrices (n, D, D)."""
    density = fields.points_per_volume(matrices[:, : d + 1, : d + 1])
    return float(jnp.mean(density)) * VOLUME


def search(d: int, key, n_fields: int, starts: int, features: int) -> Search:
    """Critical points of `n_fields` random fields in a box of volume 6 in R^d."""
    side = VOLUME ** (1 / d)

    def in_one_field(key):
        key_field, key_starts = jax.random.split(key)
        field = fields.field(key_field, d, features)
        return fields.critical_points(field, key_starts, d, side, starts)

    in_each_field = jax.jit(lambda keys: jax.lax.map(in_one_field, keys))
    points = jax.tree.map(np.asarray, in_each_field(jax.random.split(key, n_fields)))
    successful, in_minima = points.valid.sum(), (points.valid & (points.index == 0)).sum()
    return Search(
        points=points.first.sum(1),
        minima=(points.first & (points.index == 0)).sum(1),
        value=points.value[points.first],
        index=points.index[points.first],
        starts_in_minima=float(in_minima / max(successful, 1)),
    )


def theory_metrics(theory: dict[int, Theory]) -> dict[str, float]:
    """Shares of minima over the dimension, beside closed forms and halving."""
    minima = {d: t.minima for d, t in theory.items()}
    last = max(theory)
    deviations = [abs(minima[d] - exact) / theory[d].error for d, exact in fields.MINIMA.items()]
    return family("minima_d{}", minima) | {
        "kac_rice_closed_form_z": max(deviations),
        "minima_rate_early": float(np.log(minima[1] / minima[2])),
        "minima_rate_late": float(np.log(minima[last - 1] / minima[last])),
        "halvings_short_of_2_to_minus_d": float(-np.log2(minima[last]) - last),
    }


def energy_deviations(theory: Theory, search: Search) -> list[float]:
    """|mean value - theory| of each index with more than 20 points, in standard errors."""
    deviations = []
    for index, expected in enumerate(theory.values):
        values = search.value[search.index == index]
        if len(values) > 20:
            error = values.std(ddof=1) / len(values) ** 0.5
            deviations.append(float(abs(values.mean() - expected) / error))
    return deviations


def search_metrics(
    theory: dict[int, Theory], expected: dict[int, float], searches: dict[int, Search]
) -> dict[str, float]:
    """Counts, shares and values of the points found; `expected` is the mean number per field."""
    share_z, miscount, energy_z = [], [], []
    for d, each in searches.items():
        minima = theory[d].minima
        share_z.append(abs(each.share - minima) / max(each.error(minima), 1e-3))
        miscount.append(abs(each.points.mean() / expected[d] - 1))
        energy_z += energy_deviations(theory[d], each)
    in_minima = {d: each.starts_in_minima for d, each in searches.items()}
    last = searches[max(searches)]
    correlation = np.corrcoef(last.index, last.value)[0, 1] if len(last.value) > 1 else 0.0
    return {
        **family("points_d{}", {d: each.points.sum() for d, each in searches.items()}),
        **family("found_minima_d{}", {d: each.share for d, each in searches.items()}),
        **family("share_of_starts_in_minima_d{}", in_minima),
        "found_largest_z": float(max(share_z)),
        "largest_miscount": float(max(miscount)),
        "energy_largest_z": max(energy_z, default=0.0),
        "index_value_correlation": float(np.nan_to_num(correlation)),
    }


def goe_metrics(positive: dict[int, float], samples: int) -> dict[str, float]:
    """Shares of GOE matrices with positive eigenvalues only, beside closed forms and the rate."""
    deviations = [
        abs(positive[d] - p) / (p * (1 - p) / samples) ** 0.5
        for d, p in fields.ALL_POSITIVE.items()
    ]
    observed = [d for d, p in positive.items() if p > 0]
    rate = float(np.polyfit(observed, [-np.log(positive[d]) for d in observed], 2)[0])
    return {
        "goe_closed_form_z": float(max(deviations)),
        "goe_rate": rate,
        "goe_rate_over_theirs": rate / fields.GOE_RATE,
    }


def random_fields(
    key,
    searched: int,
    n_fields: int,
    starts: int,
    features: int,
    counted: int,
    samples: int,
    goe: int,
    goe_batches: int,
) -> Result:
    """Critical points by theory in 1 to `counted` dimensions, by search in 1 to `searched`."""
    key_shares, key_search, key_goe = jax.random.split(key, 3)
    matrices = fields.goe(key_shares, samples, counted + 1)
    theory = {d: kac_rice(matrices, d) for d in range(1, counted + 1)}
    searches = {
        d: search(d, jax.random.fold_in(key_search, d), n_fields, starts, features)
        for d in range(1, searched + 1)
    }
    expected = {d: expected_points(matrices, d) for d in searches}
    shares = np.asarray(fields.positive_shares(key_goe, 5, goe, goe_batches), np.float64)
    positive = dict(enumerate(shares, 1))
    metrics = {
        **theory_metrics(theory),
        **search_metrics(theory, expected, searches),
        **goe_metrics(positive, goe * goe_batches),
    }
    figure = draw_landscape(theory, searches, positive)
    return Result(metrics, {"random_fields.png": figure})


def draw_landscape(
    theory: dict[int, Theory], searches: dict[int, Search], positive: dict[int, float]
):
    """Shares of minima over the dimension; index over value in the last dimension searched."""
    figure, (shares, levels) = figures.panels(2)
    d = np.array([*theory])
    blue, orange, green, *_ = figures.COLORS
    minima = [t.minima for t in theory.values()]
    shares.semilogy(d, minima, color=blue, label="random field, Kac-Rice")
    shares.errorbar(
        [*searches],
        [each.share for each in searches.values()],
        [each.error(theory[d].minima) for d, each in searches.items()],
        fmt="o",
        capsize=3,
        color=orange,
        label="random field, found",
    )
    shares.semilogy(
        [*positive], [p or np.nan for p in positive.values()], "s-", ms=4, color=green, label="GOE"
    )
    shares.semilogy(d, 2.0**-d, "--", color="0.5", label="independent signs")
    shares.set(title="minima among critical points", xlabel="dimension", ylabel="share")
    shares.xaxis.get_major_locator().set_params(integer=True)
    last = max(searches)
    points, expected = searches[last], theory[last].values
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(points.index))
    style = {"ms": 3, "alpha": 0.5, "color": orange}
    levels.plot(points.value, points.index + jitter, ".", label="found", **style)
    levels.plot(expected, range(last + 1), "o-", color=blue, label="mean, Kac-Rice")
    levels.set(title=f"critical points in {last} dimensions")
    levels.set(xlabel="value of the field", ylabel="index")
    return figures.legends(figure)
