"""Random directions in many dimensions are nearly orthogonal: the exact law of the angle beside samples of it.

Command: panorax run theory/orthogonality
"""

from panorax.core.claims import Claim
from panorax.theory.orthogonality import Config

COURSE = "volume 0, section 0.2"
CLAIMS = (
    Claim(
        "near_d10000",
        ">=",
        0.999999,
        f"{COURSE}: nearly all pairs are orthogonal in 10,000 dimensions, |cosine| < 0.1",
    ),
    Claim("near_d3", ">=", 0.0999, f"exactly 10% in space; {COURSE} says 10 to 20%"),
    Claim("near_d3", "<=", 0.1001, f"exactly 10% in space; {COURSE} says 10 to 20%"),
    Claim("near_d2", "<", 0.0639, "6.4% in the plane"),
    Claim(
        "largest_outside",
        "<",
        0.5,
        "exact shares in the 95% intervals of the sampled ones, or within half of their width",
    ),
    Claim(
        "largest_distance",
        "<",
        1.95,
        "all cosines follow the Beta distribution: Kolmogorov's test at 99.9%",
    ),
    Claim(
        "fit_together_d10000",
        ">",
        1e9,
        "many more directions fit together than there are dimensions",
    ),
    Claim(
        "largest_cosine_together",
        "<",
        0.1,
        "a thousand directions at once in 10,000 dimensions, all nearly orthogonal",
    ),
)
ORACLE = "scipy's Beta distribution and Kolmogorov test"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2, 3, 10), pairs=200, together=10)
