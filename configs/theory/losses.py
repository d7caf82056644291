"""Losses as negative log likelihoods, and the focal loss against cross entropy where one window in a thousand holds what is searched for.

Command: panorax run theory/losses
"""

from panorax.core.claims import Claim
from panorax.theory.likelihoods import Config

COURSE = "part A, section 8"
CLAIMS = (
    Claim(
        "mean_gauss",
        "<",
        "median_gauss",
        f"{COURSE}.1: squared error is the likelihood of Gaussian noise, whose best estimate is the mean",
    ),
    Claim(
        "median_laplace",
        "<",
        "mean_laplace",
        "for Laplace noise it is the median, which absolute error leads to",
    ),
    Claim(
        "median_outliers",
        "<",
        "mean_outliers",
        f"{COURSE}.1: squared error is sensitive to outliers",
    ),
    Claim(
        "cross_entropy_identity_gap",
        "<",
        1e-5,
        f"{COURSE}.2: cross entropy is entropy and Kullback-Leibler divergence",
    ),
    Claim("share_of_positives", "<", 0.0012, f"{COURSE}.3: 99.9% is background"),
    Claim(
        "average_precision_focal",
        ">",
        "average_precision_cross_entropy",
        f"{COURSE}.3: focal loss learns from what is hard; median over seeds",
    ),
)
ORACLE = "scipy's distributions, scikit-learn's average precision"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(pictures=2, hidden=4, steps=3, batch=16, seeds=2, draws=20)
