"""Linear maps: rotation, scaling, shear and projection; rank; best approximation of lower rank.

Command: panorax run theory/linear_maps
"""

from panorax.core.claims import Claim
from panorax.theory.linear_maps import Config

CLAIMS = (
    Claim(
        "rank_after",
        "==",
        10,
        "course notes, part A, section 2.2: a 100 x 100 matrix of rank 10 maps data of 100 "
        "dimensions to 10",
    ),
    Claim(
        "eckart_young_largest_gap",
        "<",
        1e-4,
        "Eckart & Young 1936: the error of the best approximation is the norm of the singular "
        "values left out (relative gap)",
    ),
    Claim(
        "rivals_best_over_exact",
        ">",
        1.5,
        "Panorax: the best of 200 random subspaces of 10 dimensions has more than 1.5 times the "
        "error of the best subspace of the digits",
    ),
    Claim(
        "digits_kept_10",
        ">",
        0.7,
        "Panorax: 10 of 64 directions hold most of the variance of the digits",
    ),
)
HEADLINE = "rivals_best_over_exact"
ORACLE = "scipy's polar decomposition, numpy's singular values"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(width=12, rank=3, points=20, rivals=3)
