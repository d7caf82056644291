"""Newton, Newton-CG, BFGS, L-BFGS and a trust region beside scipy on standard problems.

Command: panorax run theory/second_order
"""

from panorax.core.claims import Claim
from panorax.theory.second_order import Config

NOCEDAL = "Nocedal & Wright"
CLAIMS = (
    Claim(
        "largest_gap",
        "<",
        1e-9,
        f"{NOCEDAL}: every method finds the minimum of every problem (largest f - f*)",
    ),
    Claim(
        "largest_slope",
        "<=",
        1e-6,
        f"{NOCEDAL}: every method reaches the tolerance on the gradient (largest entry)",
    ),
    Claim(
        "median_steps_over_scipy",
        "<",
        1.2,
        "Panorax: every method takes about as many steps as scipy's (median ratio)",
    ),
    Claim(
        "newton_order",
        ">",
        1.8,
        "course notes, volume 0, section 0.12: near the minimum each step of Newton's method "
        "squares the error",
    ),
    Claim(
        "rosenbrock_2_newton_steps",
        "<",
        "rosenbrock_2_bfgs_steps",
        f"{NOCEDAL}: Newton's method with the exact Hessian takes fewer steps than BFGS",
    ),
)
ORACLE = "scipy.optimize by the same methods; dense Hessians and Jacobians"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2,), tolerance=1e-2)
