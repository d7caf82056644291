"""Near orthogonality of random directions in many dimensions: the exact law beside samples.

Command: panorax run theory/orthogonality
"""

from panorax.core.claims import Claim
from panorax.theory.orthogonality import Config

SPACE = (
    "course notes, volume 0, section 0.2: 10 to 20% of pairs have |cosine| < 0.1 in three "
    "dimensions (exactly 10%)"
)
CLAIMS = (
    Claim(
        "near_d10000",
        ">=",
        0.999999,
        "course notes, volume 0, section 0.2: nearly all pairs have |cosine| < 0.1 in 10,000 "
        "dimensions",
    ),
    Claim("near_d3", ">=", 0.0999, SPACE),
    Claim("near_d3", "<=", 0.1001, SPACE),
    Claim(
        "near_d2",
        "<",
        0.0639,
        "Panorax: 6.4% of pairs have |cosine| < 0.1 in the plane",
    ),
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
        "fit_together_d10000",
        ">",
        1e9,
        "Panorax: by the union bound, a billion random directions are all nearly orthogonal in "
        "10,000 dimensions",
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
