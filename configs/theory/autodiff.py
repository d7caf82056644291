"""Reverse-mode differentiation from the chain rule: gradients of four networks beside JAX's, and the law of what a gradient costs.

Command: panorax run theory/autodiff
"""

from panorax.core.claims import Claim
from panorax.theory.autodiff import Config

LAW = "Griewank & Walther 2008, chapter 3"
CLAIMS = (
    Claim(
        "largest_gradient_gap",
        "<",
        1e-5,
        "perceptron, convolutional, attending and recurrent network: the gradient is JAX's, relative to its largest entry",
    ),
    Claim("largest_slope_gap", "<", 1e-4, "the same for the derivative along one direction"),
    Claim(
        "largest_reverse_over_loss",
        "<",
        5.0,
        f"{LAW}: a gradient costs no more than 5 times the function, however many parameters there are",
    ),
    Claim(
        "perceptron_forward_over_loss",
        "<=",
        3.0,
        f"{LAW}: a derivative along one direction no more than 3 times",
    ),
    Claim(
        "forward_over_reverse_largest",
        ">",
        1000,
        "a gradient by forward mode takes a pass for each parameter",
    ),
    Claim(
        "memory_growth_reverse",
        ">",
        "memory_growth_forward",
        "the price of reverse mode: it keeps every layer's values",
    ),
)
ORACLE = "jax.jvp and jax.vjp"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(widths=(2,), depths=(1, 2), batch=4)
