"""Linear maps: rotation, scaling, shear and projection; rank; best approximation of lower rank.

Command: panorax run theory/linear_maps
"""

from panorax.core.claims import Claim
from panorax.theory.linear_maps import Config

CLAIMS = (
    Claim(
        "rank_before",
        "==",
        100,
        "Panorax: random data have full rank in 100 dimensions",
    ),
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
        1.0,
        "Eckart & Young 1936: no random subspace of 10 dimensions approximates the digits as well "
        "as the best one",
    ),
    Claim(
        "polar_largest_gap",
        "<",
        1e-5,
        "Panorax: every map of the plane is a symmetric stretch followed by a rotation",
    ),
    Claim(
        "digits_kept_10",
        ">",
        0.7,
        "Panorax: 10 of 64 directions hold most of the variance of the digits",
    ),
)
ORACLE = "scipy's polar decomposition, numpy's singular values"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(width=12, rank=3, points=20, rivals=3)
