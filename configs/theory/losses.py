"""Losses as negative log likelihoods, and focal loss beside cross entropy on rare objects.

Command: panorax run theory/losses
"""

from panorax.core.claims import Claim
from panorax.theory.likelihoods import Config

CLAIMS = (
    Claim(
        "mean_gauss",
        "<",
        "median_gauss",
        "course notes, part A, section 8.1: squared error is the likelihood of Gaussian noise, "
        "whose best estimate is the mean",
    ),
    Claim(
        "median_laplace",
        "<",
        "mean_laplace",
        "Panorax: absolute error is the likelihood of Laplace noise, "
        "whose best estimate is the median",
    ),
    Claim(
        "median_outliers",
        "<",
        "mean_outliers",
        "course notes, part A, section 8.1: squared error is sensitive to outliers",
    ),
    Claim(
        "cross_entropy_identity_gap",
        "<",
        1e-5,
        "course notes, part A, section 8.2: cross entropy is entropy plus KL divergence",
    ),
    Claim(
        "average_precision_focal",
        ">",
        "average_precision_cross_entropy",
        "course notes, part A, section 8.3: focal loss learns from hard examples and detects rare "
        "objects better than cross entropy (median over seeds)",
    ),
)
ORACLE = "scipy's distributions, scikit-learn's average precision"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(pictures=2, hidden=4, steps=3, batch=16, seeds=2, draws=20)
