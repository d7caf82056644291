"""Gaussian mixtures by expectation maximisation on irises and digits: the bound that never falls, and the clusters that it finds.

Command: panorax run theory/em
"""

from panorax.core.claims import Claim
from panorax.theory.em import Config

CLAIMS = (
    Claim(
        "largest_fall",
        "<",
        1e-3,
        "Dempster, Laird & Rubin 1977: no step lowers the bound (nats a point, float32)",
    ),
    Claim(
        "gap_after_e",
        "<",
        1e-4,
        "Neal & Hinton 1998: after an E step the bound is the log likelihood",
    ),
    Claim("iris_matched_full", ">=", 0.96, "full covariances find the three species of iris"),
    Claim(
        "iris_matched_kmeans",
        "<",
        "iris_matched_full",
        "which k-means, blind to the shape of clusters, does less well",
    ),
    Claim("digits_held_out_full", ">", "digits_held_out_tied", "digits are not all spread alike"),
    Claim(
        "digits_held_out_full",
        ">",
        "digits_held_out_diagonal",
        "nor along the principal directions",
    ),
)
ORACLE = "scikit-learn's GaussianMixture, step for step"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(steps=3, restarts=2, directions=4)
