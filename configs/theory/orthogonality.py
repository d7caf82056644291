"""Near orthogonality of random directions in many dimensions: the exact law beside samples.

Command: panorax run theory/orthogonality
"""

from panorax.core.claims import Claim
from panorax.theory.orthogonality import Config

SPACE = (
    "course notes, volume 0, section 0.2: 10 to 20% of pairs have |cosine| < 0.1 in three "
    "dimensions (the 95% interval of the sample holds the exact 10%)"
)
PLANE = (
    "Panorax: 6.4% of pairs have |cosine| < 0.1 in the plane "
    "(the 95% interval of the sample holds the exact share)"
)
CLAIMS = (
    Claim(
        "near_low_d10000",
        ">=",
        0.9998,
        "course notes, volume 0, section 0.2: nearly all pairs have |cosine| < 0.1 in 10,000 "
        "dimensions (lower end of the 95% interval of the sample)",
    ),
    Claim("near_low_d3", "<=", "near_d3", SPACE),
    Claim("near_high_d3", ">=", "near_d3", SPACE),
    Claim("near_low_d2", "<=", "near_d2", PLANE),
    Claim("near_high_d2", ">=", "near_d2", PLANE),
    Claim(
        "largest_outside",
        "<",
        0.5,
        "Panorax: every exact share lies within half a width of the 95% interval of its sample",
    ),
    Claim(
        "largest_distance",
        "<",
        1.95,
        "Panorax: cosines follow the Beta distribution by Kolmogorov's test at 99.9%",
    ),
    Claim(
        "largest_cosine_together",
        "<",
        0.1,
        "Panorax: 1000 directions drawn at once in 10,000 dimensions are all nearly orthogonal",
    ),
)
ORACLE = "scipy's Beta distribution and Kolmogorov test"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2, 3, 10), pairs=200, together=10)
