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
        "part A, section 3.3: q . k has variance d, which lies within half a width of every "
        "95% interval",
    ),
    Claim(
        "jacobian_scaled_spread",
        "<",
        1.05,
        "part A, section 3.3: the softmax of scores divided by sqrt(d) has the same mean Jacobian "
        "norm in every dimension",
    ),
    Claim(
        "jacobian_plain_d4096",
        "<",
        0.05,
        "part A, section 3.3: without the division the softmax saturates and gradients vanish",
    ),
    Claim(
        "saturated_plain_d4096",
        ">",
        0.8,
        "Panorax: without the division most queries give one of 64 keys more than 99%",
    ),
    Claim(
        "saturated_scaled_d4096",
        "==",
        0.0,
        "Panorax: with the division no query gives one key more than 99%",
    ),
)
ORACLE = "jax.jacobian of softmax; exact moments"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(1, 16), keys=4, queries=50)
