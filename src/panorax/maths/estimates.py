"""What samples say of a number or a distribution whose exact value is known: intervals of 95% confidence, and the distance between distributions."""

from collections.abc import Callable

import numpy as np

Z = 1.959964
"""97.5% of a standard normal lie below"""


def mean_interval(samples: np.ndarray) -> tuple[float, float]:
    """mean -+ z s / sqrt(n), for which n must be large enough that the mean is normal (central limit theorem). Raises ValueError for fewer than 2."""
    x = np.asarray(samples, np.float64)
    if x.size < 2:
        raise ValueError(f"an interval needs two samples at least, got {x.size}")
    half = Z * x.std(ddof=1) / x.size**0.5
    return float(x.mean() - half), float(x.mean() + half)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Of the probability of what happened `hits` times in n (Wilson 1927): (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n).

    Stays within [0, 1] and is not empty at 0 or n hits. Raises ValueError where hits is not between 0 and n, or n is 0.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} hits in {n}")
    p, square = hits / n, Z**2 / n
    middle, half = p + square / 2, Z * (p * (1 - p) / n + square / (4 * n)) ** 0.5
    return max((middle - half) / (1 + square), 0.0), min((middle + half) / (1 + square), 1.0)


def kolmogorov_distance(samples: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """Largest difference between the empirical distribution function of the samples and `cdf`; times sqrt(n) it is below 1.95 in 99.9% of cases
    where the samples follow it (Kolmogorov 1933)."""
    x = np.sort(np.asarray(samples, np.float64).ravel())
    exact, n = np.asarray(cdf(x), np.float64), x.size
    return float(max((np.arange(1, n + 1) / n - exact).max(), (exact - np.arange(n) / n).max()))
