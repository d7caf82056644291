"""Minimisation by curvature on the standard problems, beside scipy: the same minima, in how many steps, and how fast at the end.

The methods are those of `panorax.maths.optimisation.minimisers`, the products with second derivatives those of `panorax.maths.optimisation.curvature`. Problems: Rosenbrock's valley
sum 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2 in 2 to 100 dimensions, Beale's (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2, and logistic
regression with a penalty. Near a minimum the error of Newton's method is squared in each step, that of BFGS falls faster than any power, that of descent by a factor.
Computed in float64. Source: Nocedal & Wright, Numerical Optimization, chapters 3, 6 and 7; Moré, Garbow & Hillstrom 1981.
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.minimisers import MINIMISERS, Minimum

STEPS = 5000
SCIPY = {"newton_cg": "Newton-CG", "bfgs": "BFGS", "lbfgs": "L-BFGS-B", "trust_region": "trust-ncg"}


@checked
class Config:
    dims: tuple[Count, ...] = (2, 10, 100)
    """of Rosenbrock's valley"""
    tolerance: Positive = 1e-6
    """of the largest entry of the gradient"""
    penalty: Positive = 1.0
    """half of it times the squared coefficients is added to the logistic loss"""
    seed: Whole = 0

    def __post_init__(self):
        if not self.dims or min(self.dims) < 2:
            raise UserError("dims needs one dimension at least, none below 2")


def rosenbrock(x):
    """0 at (1, .., 1), at the end of a curved valley."""
    return jnp.sum(100 * jnp.square(x[1:] - jnp.square(x[:-1])) + jnp.square(1 - x[:-1]))


def beale(x):
    """0 at (3, 1/2), flat far away."""
    a, b = x
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def logistic(penalty: float):
    """The penalised logistic loss of the breast cancer data as a function of 30 coefficients and the intercept."""
    x, label, _, _ = (np.asarray(part, np.float64) for part in datasets.breast_cancer())
    return lambda w: (
        jnp.sum(jax.nn.softplus(x @ w[:-1] + w[-1]) - label * (x @ w[:-1] + w[-1]))
        + 0.5 * penalty * w[:-1] @ w[:-1]
    )


def problems(cfg: Config) -> dict:
    """By name: the function, where to start, the value at the minimum if it is known."""
    # from (-1.2, 1, -1.2, ..) a method may end in the second minimum, near (-1, 1, .., 1), that this function has from 4 dimensions on
    valleys = {
        f"rosenbrock_{n}": (rosenbrock, np.array([-1.2, 1.0]) if n == 2 else np.zeros(n), 0.0)
        for n in cfg.dims
    }
    return valleys | {
        "beale": (beale, np.array([1.0, 1.0]), 0.0),
        "logistic": (logistic(cfg.penalty), np.zeros(31), None),
    }


def scipys(f, x: np.ndarray, method: str, tolerance: float):
    """scipy's minimum by the same method, with JAX's derivatives."""
    from scipy.optimize import minimize

    gradient = jax.jit(jax.grad(f))
    product = jax.jit(lambda x, v: hessian_product(f, x, v))
    hessp = (
        {"hessp": lambda x, v: np.asarray(product(x, v))}
        if method in ("Newton-CG", "trust-ncg")
        else {}
    )
    options = (
        {"gtol": tolerance, "maxiter": STEPS}
        if method != "Newton-CG"
        else {"xtol": 1e-10, "maxiter": STEPS}
    )
    options |= {"ftol": 0.0, "maxfun": 100_000} if method == "L-BFGS-B" else {}
    value = jax.jit(f)
    return minimize(
        lambda x: float(value(x)),
        x,
        jac=lambda x: np.asarray(gradient(x)),
        method=method,
        options=options,
        **hessp,
    )


def order(values: np.ndarray, least: float) -> float:
    """log(e_{k+1} / e_k) / log(e_k / e_{k-1}) of the errors sqrt(f - least), the largest over the steps above rounding: 1 where errors fall by a factor, 2
    where they are squared."""
    error = np.sqrt(np.maximum(values[np.isfinite(values)] - least, 0))
    error = error[error > 1e-13]
    falls = np.log(error[1:] / error[:-1])
    return float(max(falls[1:] / falls[:-1])) if len(falls) > 1 else float("nan")


def study(cfg: Config, key) -> Result:
    """Every method on every problem; `largest_gap` is the largest of f - f*, f* exact or the lowest that scipy found."""
    metrics, histories, gaps, slopes = {}, {}, [], []
    with jax.enable_x64(True):
        for name, (f, x, least) in problems(cfg).items():
            theirs = {ours: scipys(f, x, method, cfg.tolerance) for ours, method in SCIPY.items()}
            least = min(found.fun for found in theirs.values()) if least is None else least
            histories[name] = {}
            for method, minimise in MINIMISERS.items():
                found: Minimum = jax.jit(
                    lambda x, minimise=minimise, f=f: minimise(
                        f, x, steps=STEPS, tolerance=cfg.tolerance
                    )
                )(x)
                metrics[f"{name}_{method}_steps"] = float(found.steps)
                gaps.append(float(found.value) - least)
                slopes.append(float(jnp.max(jnp.abs(found.gradient))))
                histories[name][method] = np.asarray(found.values) - least
            for ours, found in theirs.items():
                metrics[f"{name}_{ours}_scipy_steps"] = float(found.nit)
        f, x, _ = problems(cfg)["logistic"]
        lowest = jax.jit(lambda x: MINIMISERS["newton"](f, x, tolerance=1e-13))(x)
        metrics["newton_order"] = order(np.asarray(lowest.values), float(lowest.value))
    metrics["largest_gap"], metrics["largest_slope"] = max(gaps), max(slopes)
    ratios = [
        metrics[f"{name}_{ours}_steps"] / metrics[f"{name}_{ours}_scipy_steps"]
        for name in histories
        for ours in SCIPY
    ]
    metrics["largest_steps_over_scipy"], metrics["median_steps_over_scipy"] = (
        max(ratios),
        float(np.median(ratios)),
    )
    return Result(metrics, {"second_order.png": draw(histories)})


def draw(histories: dict[str, dict[str, np.ndarray]]):
    """f - f* over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(histories), 3.6), layout="constrained")
    for ax, (name, methods) in zip(
        np.atleast_1d(figure.subplots(1, len(histories))), histories.items(), strict=True
    ):
        for method, values in methods.items():
            shown = values[np.isfinite(values)]
            ax.semilogy(np.maximum(shown, 1e-18), label=method.replace("_", " "))
        ax.set(title=name.replace("_", ", "), xlabel="step", ylim=(1e-18, None))
        ax.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure
