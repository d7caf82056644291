"""Volume in many dimensions: the ball in the cube, the shell of the ball, the norm of a Gaussian.

Command: panorax run theory/concentration (half a minute, mostly compilation)
Expect: the samples lie on the exact curves.
"""

from panorax.core.claims import Claim
from panorax.theory.concentration import Config

PLANE = "course notes, volume 0, section 0.1: the disc fills 78.5% of its square"
SPACE = "course notes, volume 0, section 0.1: the ball fills 52.4% of its cube in three dimensions"
CLAIMS = (
    Claim("ball_cube_ratio_d2", ">=", 0.785, PLANE),
    Claim("ball_cube_ratio_d2", "<", 0.786, PLANE),
    Claim("ball_cube_ratio_d3", ">=", 0.523, SPACE),
    Claim("ball_cube_ratio_d3", "<", 0.5245, SPACE),
    Claim(
        "ball_cube_ratio_d100",
        "<",
        1e-60,
        "course notes, volume 0, section 0.1: the share of a cube in its inscribed ball tends to 0",
    ),
    Claim(
        "shell_fraction_d1000",
        ">=",
        0.9999,
        "course notes, part A, section 4.1: 99.99% of a ball in 1000 dimensions lies in a thin "
        "shell (here its outer 1%)",
    ),
    Claim(
        "norm_over_sqrt_d_d10000",
        ">",
        0.9999,
        "course notes, volume 0, section 0.1: the norm of a Gaussian vector tends to sqrt(d)",
    ),
    Claim(
        "norm_spread_d10000",
        "<",
        0.71,
        "course notes, volume 0, section 0.1: the standard deviation of the norm stays of order 1",
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
ORACLE = "closed forms through scipy's Gamma function and chi distribution"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2, 3, 10), samples=100)
