"""Bayesian linear regression with known noise, y = X w + N(0, s^2 I), w ~ N(0, t^2 I), exactly.

    posterior precision   P = X^T X / s^2 + I / t^2
    posterior mean        P^-1 X^T y / s^2
    evidence              log N(y; 0, s^2 I + t^2 X X^T)

Source: Bishop 2006, section 3.3.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Posterior(NamedTuple):
    """The Gaussian posterior of the coefficients, in float64."""

    mean: Float[np.ndarray, " D"]
    """posterior mean"""
    precision: Float[np.ndarray, "D D"]
    """inverse covariance"""
    evidence: float
    """log p(y), in nats"""


def posterior(
    x_ND: Float[np.ndarray, "N D"], y_N: Float[np.ndarray, " N"], noise: float, prior: float
) -> Posterior:
    """The posterior of w. noise: standard deviation s.  prior: standard deviation t."""
    x, y = x_ND.astype(np.float64), y_N.astype(np.float64)
    precision = x.T @ x / noise**2 + np.eye(x.shape[1]) / prior**2
    mean = np.linalg.solve(precision, x.T @ y) / noise**2
    covariance = noise**2 * np.eye(len(y)) + prior**2 * x @ x.T
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    evidence = -0.5 * (y @ np.linalg.solve(covariance, y) + log_determinant)
    return Posterior(mean, precision, float(evidence))
