"""Why attention divides by sqrt(d): the variance of a dot product, and what a softmax of it lets through.

Command: panorax run theory/dot_product
"""

from panorax.core.claims import Claim
from panorax.theory.dot_product import Config

COURSE = "part A, section 3.3"
CLAIMS = (
    Claim(
        "variance_largest_outside",
        "<",
        0.5,
        f"{COURSE}: the variance of q . k is d; in the 95% intervals, or within half of their width",
    ),
    Claim(
        "jacobian_scaled_spread",
        "<",
        1.05,
        f"{COURSE}: divided by sqrt(d), the softmax passes gradients in every dimension alike",
    ),
    Claim(
        "jacobian_plain_d4096", "<", 0.05, f"{COURSE}: without, it saturates and gradients vanish"
    ),
    Claim(
        "saturated_plain_d4096", ">", 0.8, "most queries choose one of 64 keys with more than 99%"
    ),
    Claim("saturated_scaled_d4096", "==", 0.0, "divided, none does"),
)
ORACLE = "jax.jacobian of softmax; exact moments"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(1, 16), keys=4, queries=50)
