"""Volume in many dimensions: the ball in the cube, the shell of the ball, the norm of a Gaussian.

Command: panorax run theory/concentration
Expect: the samples lie on the exact curves.
"""

from panorax.core.claims import Claim
from panorax.theory.concentration import Config

EXACT = "(the 95% interval of the sample holds the exact share)"
PLANE = f"course notes, volume 0, section 0.1: the disc fills 78.5% of its square {EXACT}"
SPACE = (
    "course notes, volume 0, section 0.1: the ball fills 52.4% of its cube in three dimensions "
    f"{EXACT}"
)
CLAIMS = (
    Claim("ball_cube_ratio_low_d2", "<=", "ball_cube_ratio_d2", PLANE),
    Claim("ball_cube_ratio_high_d2", ">=", "ball_cube_ratio_d2", PLANE),
    Claim("ball_cube_ratio_low_d3", "<=", "ball_cube_ratio_d3", SPACE),
    Claim("ball_cube_ratio_high_d3", ">=", "ball_cube_ratio_d3", SPACE),
    Claim(
        "ball_cube_ratio_high_d100",
        "<",
        0.001,
        "course notes, volume 0, section 0.1: the share of a cube in its inscribed ball tends to 0 "
        "(upper end of the 95% interval of the sample in 100 dimensions)",
    ),
    Claim(
        "shell_fraction_high_d1000",
        ">=",
        0.9999,
        "course notes, part A, section 4.1: 99.99% of a ball in 1000 dimensions lies in a thin "
        "shell (here its outer 1%; the 95% interval of the sample reaches this share)",
    ),
    Claim(
        "norm_over_sqrt_d_low_d10000",
        ">",
        0.999,
        "course notes, volume 0, section 0.1: the norm of a Gaussian vector tends to sqrt(d) "
        "(lower end of the 95% interval of the mean)",
    ),
    Claim(
        "norm_spread_sampled_d10000",
        "<",
        0.75,
        "course notes, volume 0, section 0.1: the standard deviation of the norm stays of order 1 "
        "(of the sample; exactly 0.71)",
    ),
    Claim(
        "largest_z",
        "<",
        4.0,
        "Panorax: every sampled value is within 4 standard errors of the exact value",
    ),
    Claim(
        "largest_norm_distance",
        "<",
        1.95,
        "Panorax: norms follow the chi distribution by Kolmogorov's test at 99.9%",
    ),
)
HEADLINE = "largest_z"
ORACLE = "closed forms through scipy's Gamma function and chi distribution"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2, 3, 10), samples=100)
