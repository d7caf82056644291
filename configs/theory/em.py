"""Gaussian mixtures by expectation maximisation on irises and digits: the bound and the clusters.

Command: panorax run theory/em
"""

from panorax.core.claims import Claim
from panorax.theory.em import Config

CLAIMS = (
    Claim(
        "largest_fall",
        "<",
        1e-3,
        "Dempster, Laird & Rubin 1977: no EM step lowers the bound (nats per point, float32)",
    ),
    Claim(
        "gap_after_e",
        "<",
        1e-4,
        "Neal & Hinton 1998: after an E step the bound equals the log likelihood (nats)",
    ),
    Claim(
        "iris_matched_full",
        ">=",
        0.96,
        "Panorax: a mixture with full covariances finds the three species of iris",
    ),
    Claim(
        "iris_matched_kmeans",
        "<",
        "iris_matched_full",
        "Panorax: k-means ignores the shape of clusters and finds the species of iris less well "
        "than a mixture with full covariances",
    ),
    Claim(
        "digits_held_out_full",
        ">",
        "digits_held_out_tied",
        "Panorax: classes of digits differ in covariance, so full covariances fit held-out digits "
        "better than one shared covariance",
    ),
    Claim(
        "digits_held_out_full",
        ">",
        "digits_held_out_diagonal",
        "Panorax: principal directions of digits are correlated within components, so full "
        "covariances fit held-out digits better than diagonal ones",
    ),
)
ORACLE = "scikit-learn's GaussianMixture, step for step"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(steps=3, restarts=2, directions=4)
