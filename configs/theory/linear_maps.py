"""What a matrix does to space: rotation, scaling, shear, projection; rank; and the best approximation of lower rank, on random maps and the digits.

Command: panorax run theory/linear_maps
"""

from panorax.core.claims import Claim
from panorax.theory.linear_maps import Config

COURSE = "part A, section 2.2"
CLAIMS = (
    Claim("rank_before", "==", 100, "random data fill all dimensions"),
    Claim(
        "rank_after",
        "==",
        10,
        f"{COURSE}: a 100 x 100 matrix of rank 10 flattens 100 dimensions to 10",
    ),
    Claim(
        "eckart_young_largest_gap",
        "<",
        1e-4,
        "Eckart & Young 1936: the error is that of the singular values left out, relative",
    ),
    Claim(
        "rivals_best_over_exact",
        ">",
        1.0,
        "no random subspace of 10 dimensions comes as near to the digits",
    ),
    Claim("polar_largest_gap", "<", 1e-5, "every map of the plane is a stretch and a rotation"),
    Claim(
        "digits_kept_10", ">", 0.7, "10 of 64 directions hold most of the variance of the digits"
    ),
)
ORACLE = "scipy's polar decomposition, numpy's singular values"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(width=12, rank=3, points=20, rivals=3)
