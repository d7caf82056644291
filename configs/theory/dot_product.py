"""The division by sqrt(d) in attention: variance of dot products, and gradients of their softmax.

Command: panorax run theory/dot_product
"""

from panorax.core.claims import Claim
from panorax.theory.dot_product import Config

CLAIMS = (
    Claim(
        "variance_largest_outside",
        "<",
        0.5,
        "course notes, part A, section 3.3: q . k has variance d (distance of 1 from the 95% "
        "interval of variance / d, in widths of the interval)",
    ),
    Claim(
        "jacobian_scaled_spread",
        "<",
        1.05,
        "course notes, part A, section 3.3: the softmax of scores divided by sqrt(d) has the same "
        "mean Jacobian norm in every dimension",
    ),
    Claim(
        "jacobian_plain_d4096",
        "<",
        0.05,
        "course notes, part A, section 3.3: without the division the softmax saturates and "
        "gradients vanish",
    ),
    Claim(
        "saturated_plain_d4096",
        ">",
        0.8,
        "Panorax: without the division most queries put over 99% of their attention on one of 64 "
        "keys",
    ),
    Claim(
        "saturated_scaled_d4096",
        "==",
        0.0,
        "Panorax: with the division no query puts over 99% of its attention on one key",
    ),
)
ORACLE = "jax.jacobian of softmax; exact moments"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(1, 16), keys=4, queries=50)
