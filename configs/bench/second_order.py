"""L-BFGS beside scipy's L-BFGS-B in 10,000 dimensions, and a Hessian spectrum beside scipy's eigsh.

The network has 104,842 parameters. Competitor: scipy 1.17 with the same compiled JAX functions.

Command: panorax bench bench/second_order
"""

import dataclasses

from panorax.bench.second_order import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "rosenbrock_panorax_ratio",
        ">=",
        1.0,
        "Panorax: L-BFGS minimises Rosenbrock's valley in 10,000 dimensions, a nearly free"
        " function, as fast as scipy",
    ),
    Claim(
        "logistic_panorax_ratio",
        ">=",
        0.9,
        "Panorax: L-BFGS minimises a logistic loss of 10,000 coefficients, an expensive function,"
        " at 0.9 of scipy's speed",
    ),
    Claim(
        "rosenbrock_value_difference",
        "<",
        1e-6,
        "Panorax: L-BFGS's minimum of Rosenbrock's valley equals scipy's within 1e-6",
    ),
    Claim(
        "logistic_value_difference",
        "<",
        1e-6,
        "Panorax: L-BFGS's minimum of the logistic loss equals scipy's within 1e-6",
    ),
    Claim(
        "spectrum_seconds",
        "<",
        60,
        "Panorax: ten probes of 80 Lanczos steps give the spectrum of 100,000 parameters within a"
        " minute on two cores",
    ),
    Claim(
        "top_panorax_ratio",
        ">=",
        1.0,
        "Panorax: Lanczos computes the ten largest eigenvalues as fast as eigsh with its default"
        " subspace",
    ),
    Claim(
        "top_largest_difference",
        "<",
        1e-3,
        "Panorax: all solvers find the same ten largest eigenvalues within 0.1%",
    ),
    Claim(
        "top_largest_bound",
        "<",
        1e-3,
        "Panorax: the error bounds of the ten largest Lanczos eigenvalues are below 0.1%, the"
        " tolerance given to eigsh",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), probes=2, rounds=3)
