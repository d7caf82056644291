"""Reverse-mode differentiation from the chain rule: gradients of four networks and their cost.

Command: panorax run theory/autodiff
"""

from panorax.core.claims import Claim
from panorax.theory.autodiff import Config

CLAIMS = (
    Claim(
        "largest_gradient_gap",
        "<",
        1e-5,
        "Panorax: gradients of four networks equal JAX's (error relative to the largest entry)",
    ),
    Claim(
        "largest_slope_gap",
        "<",
        1e-4,
        "Panorax: directional derivatives of four networks equal JAX's (relative error)",
    ),
    Claim(
        "largest_reverse_over_loss",
        "<",
        5.0,
        "Griewank & Walther 2008, chapter 3: a gradient costs at most 5 times the function, "
        "whatever the number of parameters",
    ),
    Claim(
        "perceptron_forward_over_loss",
        "<=",
        3.0,
        "Griewank & Walther 2008, chapter 3: a directional derivative costs at most 3 times "
        "the function",
    ),
    Claim(
        "forward_over_reverse_largest",
        ">",
        1000,
        "Griewank & Walther 2008, chapter 3: a gradient by forward mode takes one pass for each "
        "parameter",
    ),
    Claim(
        "memory_growth_reverse",
        ">",
        "memory_growth_forward",
        "Griewank & Walther 2008, chapter 3: memory of reverse mode grows faster with depth than "
        "memory of forward mode, because every layer's values are kept",
    ),
)
ORACLE = "jax.jvp and jax.vjp"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(widths=(2,), depths=(1, 2), batch=4)
