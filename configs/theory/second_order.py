"""Newton, Newton-CG, BFGS, L-BFGS and a trust region on Rosenbrock's valley in 2 to 100 dimensions, Beale's function and a logistic regression, beside scipy.

Command: panorax run theory/second_order
"""

from panorax.core.claims import Claim
from panorax.theory.second_order import Config

CLAIMS = (
    Claim("largest_gap", "<", 1e-9, "every method finds the minimum of every problem"),
    Claim("largest_slope", "<=", 1e-6, "to the tolerance of the gradient that was asked for"),
    Claim("median_steps_over_scipy", "<", 1.2, "in about as many steps as scipy"),
    Claim(
        "newton_order",
        ">",
        1.8,
        "volume 0, section 0.12: near the minimum Newton's method squares its error in every step",
    ),
    Claim(
        "rosenbrock_2_newton_steps",
        "<",
        "rosenbrock_2_bfgs_steps",
        "curvature that is known needs fewer steps than curvature that is learned on the way",
    ),
)
ORACLE = "scipy.optimize by the same methods; dense Hessians and Jacobians"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(dims=(2,), tolerance=1e-2)
