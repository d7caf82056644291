"""Where volume lies in many dimensions: the ball in the cube, the shell of the ball, the norm of a Gaussian.

Command: panorax run theory/concentration (half a minute, most of it compiling). Expect exact curves with samples on them.
"""

from panorax.core.claims import Claim
from panorax.theory.concentration import Config

COURSE = "volume 0, section 0.1"
CLAIMS = (
    Claim("ball_cube_ratio_d2", ">=", 0.785, f"{COURSE}: 78.5% in the plane"),
    Claim("ball_cube_ratio_d2", "<", 0.786, f"{COURSE}: 78.5% in the plane"),
    Claim("ball_cube_ratio_d3", ">=", 0.523, f"{COURSE}: 52.4% in space"),
    Claim("ball_cube_ratio_d3", "<", 0.5245, f"{COURSE}: 52.4% in space"),
    Claim("ball_cube_ratio_d100", "<", 1e-60, f"{COURSE}: tends to 0"),
    Claim(
        "shell_fraction_d1000",
        ">=",
        0.9999,
        "part A, section 4.1: 99.99% of a ball in 1000 dimensions lies in a thin peel (here its outer 1%)",
    ),
    Claim("norm_over_sqrt_d_d10000", ">", 0.9999, f"{COURSE}: the norm tends to sqrt(d)"),
    Claim("norm_spread_d10000", "<", 0.71, f"{COURSE}: its spread stays of order 1"),
    Claim("largest_z", "<", 4.0, "every sampled value within 4 standard errors of the exact one"),
    Claim(
        "largest_norm_distance",
        "<",
        1.95,
        "norms follow the chi distribution: Kolmogorov's test at 99.9%",
    ),
)
ORACLE = "closed forms through scipy's Gamma function and chi distribution"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2, 3, 10), samples=100)
