"""L-BFGS in 10,000 dimensions beside scipy's L-BFGS-B; the spectrum of a network of 104,842 parameters, its largest eigenvalues beside scipy's eigsh.

Competitor: scipy 1.17 with the same compiled functions of JAX.
Command: panorax bench bench/second_order      about 10 minutes on 2 cores
"""

import dataclasses

from panorax.bench.second_order import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "rosenbrock_panorax_ratio",
        ">=",
        1.0,
        "minimisations of Rosenbrock's valley in 10,000 dimensions, where the method's own work counts",
    ),
    Claim(
        "logistic_panorax_ratio",
        ">=",
        0.9,
        "of a logistic loss of 10,000 coefficients, where that of the data counts",
    ),
    Claim("rosenbrock_value_difference", "<", 1e-6, "both find the same minimum"),
    Claim("logistic_value_difference", "<", 1e-6, "of both problems"),
    Claim(
        "spectrum_seconds",
        "<",
        60,
        "ten probes of 80 steps: the spectrum of 100,000 parameters within a minute on two cores",
    ),
    Claim("top_panorax_ratio", ">=", 1.0, "the ten largest eigenvalues against eigsh as it comes"),
    Claim("top_largest_difference", "<", 1e-3, "all find the same ones"),
    Claim("top_largest_bound", "<", 1e-3, "to the accuracy that eigsh was asked for"),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), probes=2, rounds=3)
