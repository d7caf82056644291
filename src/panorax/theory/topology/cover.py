"""Cover's count of dichotomies that a hyperplane separates, and Boolean functions.

The count, its derivation and the linear program are in `panorax.maths.topology.separability`.
Source: Cover 1965; Minsky & Papert 1969; Muroga 1971.
"""

from typing import NamedTuple

import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import numpy_generator
from panorax.maths.estimates import share_interval
from panorax.maths.topology import separability

RATIOS = (1.0, 1.4, 1.8, 2.0, 2.2, 2.6)
"""points over dimensions N / d at which shares of dichotomies are sampled"""


class Share(NamedTuple):
    """The sampled share of separable dichotomies of N points."""

    points: int
    """number of points N"""
    share: float
    """share of the sampled dichotomies that are separable"""
    interval: tuple[float, float]
    """95% interval of the share"""
    z: float
    """distance from Cover's probability, in standard deviations"""


def sampled_share(
    rng: np.random.Generator, n: int, d: int, trials: int, degree: int | None = None
) -> Share:
    """The share for n normal points in R^d, mapped to monomials up to `degree` if it is given."""
    hits, dimension = separability.separable_share(rng, n, d, trials, degree)
    exact = separability.probability(n, dimension)
    deviation = max((exact * (1 - exact) / trials) ** 0.5, 1e-9)
    share = hits / trials
    return Share(n, share, share_interval(hits, trials), abs(share - exact) / deviation)


def missed_counts(rng: np.random.Generator, n: int) -> int:
    """Number of dimensions 1 to n whose count over all dichotomies contradicts Cover's count."""
    counts = {
        d: separability.separable_dichotomies(rng.standard_normal((n, d))) for d in range(1, n + 1)
    }
    return sum(count != separability.count(n, d) for d, count in counts.items())


def boolean_metrics(bits: int) -> dict[str, float]:
    """XOR, the number of threshold functions, and the degree that the parity of `bits` needs."""
    corners, cube = separability.cube(2), separability.cube(bits)
    xor, parity = -corners.prod(1), cube.prod(1)
    lines, products = (separability.monomials(corners, degree) for degree in (1, 2))
    degrees = range(1, bits + 1)
    separates = lambda degree: separability.separable(separability.monomials(cube, degree), parity)
    thresholds = separability.separable_dichotomies(separability.monomials(cube, 1))
    return {
        "xor_separable_by_a_line": float(separability.separable(lines, xor)),
        "xor_separable_with_a_product": float(separability.separable(products, xor)),
        "threshold_functions": float(thresholds),
        "parity_degree": float(next(degree for degree in degrees if separates(degree))),
    }


def cover(key, few: int, dimensions: tuple[int, ...], trials: int, bits: int) -> Result:
    """All dichotomies of `few` points, sampled dichotomies of more points, Boolean functions."""
    rng = numpy_generator(key)
    missed = missed_counts(rng, few)
    shares = {
        d: [sampled_share(rng, round(ratio * d), d, trials) for ratio in RATIOS] for d in dimensions
    }
    mapped = sampled_share(rng, 12, 2, trials, degree=2)
    z = [share.z for each in shares.values() for share in each]
    metrics = {
        "cover_counts_missed": float(missed),
        "cover_largest_z": float(max(*z, mapped.z)),
        **boolean_metrics(bits),
    }
    return Result(metrics, {"cover.png": draw_shares(shares)})


def draw_shares(shares: dict[int, list[Share]]):
    """Shares of separable dichotomies over N / d: lines are exact, points are sampled."""
    figure, (ax,) = figures.panels(width=5)
    for d, each in shares.items():
        n = np.arange(d, 3 * d + 1)
        exact = [separability.probability(int(points), d) for points in n]
        (line,) = ax.plot(n / d, exact, label=f"d = {d}")
        share = np.array([s.share for s in each])
        low, high = np.array([s.interval for s in each]).T
        errors = np.maximum([share - low, high - share], 0)
        at = [s.points / d for s in each]
        ax.errorbar(at, share, errors, fmt="o", ms=4, capsize=2, color=line.get_color())
    ax.axvline(2, color="0.7", lw=1, ls=":")
    ax.set(title="separable dichotomies: exact, sampled")
    ax.set(xlabel="points over dimensions N / d", ylabel="share, 95% interval")
    return figures.legends(figure)
