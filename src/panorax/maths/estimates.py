"""Confidence intervals for a mean and a probability, and the Kolmogorov distance of samples."""

from collections.abc import Callable

import numpy as np

Z = 1.959964
"""97.5% quantile of the standard normal distribution"""


def mean_interval(samples: np.ndarray) -> tuple[float, float]:
    """95% confidence interval for the mean: mean -+ z s / sqrt(n), s the sample deviation.

    The interval assumes that n is large enough for the mean to be normal (central limit theorem).
    Raises ValueError for fewer than two samples.
    """
    x = np.asarray(samples, np.float64)
    if x.size < 2:
        raise ValueError(f"an interval needs at least two samples, got {x.size}")
    half = Z * x.std(ddof=1) / x.size**0.5
    return float(x.mean() - half), float(x.mean() + half)


def student_interval(samples: np.ndarray) -> tuple[float, float]:
    """95% confidence interval for the mean of few normal samples: mean -+ t s / sqrt(n).

    t is the 97.5% quantile of Student's distribution with n - 1 degrees of freedom (Student 1908).
    Raises ValueError for fewer than two samples.
    """
    from scipy.special import stdtrit

    low, high = mean_interval(samples)
    mean, half = (low + high) / 2, (high - low) / 2
    half *= stdtrit(np.size(samples) - 1, 0.975) / Z
    return float(mean - half), float(mean + half)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """95% confidence interval for the probability of an event that occurs `hits` times in n trials.

    The interval is (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n), p = hits / n
    (Wilson 1927). It stays within [0, 1] and has positive width even for 0 or n hits.
    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"hits must lie between 0 and n, n above 0; got {hits} hits, n = {n}")
    p, square = hits / n, Z**2 / n
    middle, half = p + square / 2, Z * (p * (1 - p) / n + square / (4 * n)) ** 0.5
    return max((middle - half) / (1 + square), 0.0), min((middle + half) / (1 + square), 1.0)


def kolmogorov_distance(samples: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """Largest difference between the empirical distribution function of n samples and `cdf`.

    For samples of `cdf`, sqrt(n) times the distance is below 1.95 in 99.9% of cases
    (Kolmogorov 1933).
    """
    x = np.sort(np.asarray(samples, np.float64).ravel())
    exact, n = np.asarray(cdf(x), np.float64), x.size
    return float(max((np.arange(1, n + 1) / n - exact).max(), (exact - np.arange(n) / n).max()))
