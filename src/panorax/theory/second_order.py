"""Second-order minimisers on standard problems beside scipy: minima, steps, and convergence.

The methods are in `panorax.maths.optimisation.minimisers`, products with second derivatives in
`panorax.maths.optimisation.curvature`. The problems are Rosenbrock's valley in 2 to 100 dimensions,
Beale's function (`panorax.maths.optimisation.objectives`), and penalised logistic regression.

Near a minimum each step of Newton's method squares the error, BFGS converges superlinearly, and
gradient descent linearly. All computations are in float64.
Source: Nocedal & Wright, Numerical Optimization, chapters 3, 6 and 7; Moré et al. 1981.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths.optimisation.convergence import order
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.minimisers import MINIMISERS
from panorax.maths.optimisation.objectives import beale, rosenbrock

STEPS = 5000
"""largest number of steps of every method"""
SCIPY = {"newton_cg": "Newton-CG", "bfgs": "BFGS", "lbfgs": "L-BFGS-B", "trust_region": "trust-ncg"}
"""scipy's names of the methods that scipy also has"""


@checked
class Config:
    dims: tuple[Count, ...] = (2, 10, 100)
    """dimensions of Rosenbrock's valley, one to four values"""
    tolerance: Positive = 1e-6
    """largest absolute entry of the gradient at which a method stops"""
    penalty: Positive = 1.0
    """L2 penalty [lambda]: the logistic loss includes lambda / 2 |coefficients|^2"""
    seed: Whole = 0
    """seed, unused: the study draws no random numbers"""

    def __post_init__(self):
        if not 1 <= len(self.dims) <= 4 or min(self.dims) < 2:
            raise UserError("dims needs one to four dimensions, none below 2")


class Problem(NamedTuple):
    """A function to minimise."""

    f: Callable
    """the function of a vector"""
    start: np.ndarray
    """the point at which every method starts"""
    minimum: float | None
    """the value at the minimum, None if it is unknown"""


class Run(NamedTuple):
    """One method on one problem."""

    steps: int
    """number of steps"""
    gaps: np.ndarray
    """f - f* before the first and after every step; f* is exact or the lowest of scipy's
    values"""
    slope: float
    """largest absolute entry of the gradient at the end"""


class Outcome(NamedTuple):
    """All methods on one problem."""

    runs: dict[str, Run]
    """our methods by name"""
    scipy_steps: dict[str, int]
    """number of steps of scipy's methods, by our names"""


def logistic(penalty: float) -> Callable:
    """Penalised logistic loss of the breast cancer data in 30 coefficients and the intercept."""
    x, label, _, _ = (np.asarray(part, np.float64) for part in datasets.breast_cancer())

    def loss(w):
        z = x @ w[:-1] + w[-1]
        return jnp.sum(jax.nn.softplus(z) - label * z) + 0.5 * penalty * w[:-1] @ w[:-1]

    return loss


def problems(cfg: Config) -> dict[str, Problem]:
    """The problems by name.

    Above 2 dimensions Rosenbrock's valley starts at 0, because a method that starts at the
    customary (-1.2, 1, -1.2, ..) may end in the second minimum.
    """
    valley_start = lambda n: np.array([-1.2, 1.0]) if n == 2 else np.zeros(n)
    valleys = {f"rosenbrock_{n}": Problem(rosenbrock, valley_start(n), 0.0) for n in cfg.dims}
    return valleys | {
        "beale": Problem(beale, np.array([1.0, 1.0]), 0.0),
        "logistic": Problem(logistic(cfg.penalty), np.zeros(31), None),
    }


def scipy_minimum(problem: Problem, method: str, tolerance: float):
    """scipy's result by the same method with JAX's derivatives."""
    from scipy.optimize import minimize

    value, gradient = jax.jit(problem.f), jax.jit(jax.grad(problem.f))
    product = jax.jit(lambda x, v: hessian_product(problem.f, x, v))
    second = {"hessp": lambda x, v: np.asarray(product(x, v))}
    options = {
        "Newton-CG": {"xtol": 1e-10},
        "BFGS": {"gtol": tolerance},
        "L-BFGS-B": {"gtol": tolerance, "ftol": 0.0, "maxfun": 100_000},
        "trust-ncg": {"gtol": tolerance},
    }[method]
    return minimize(
        lambda x: float(value(x)),
        problem.start,
        jac=lambda x: np.asarray(gradient(x)),
        method=method,
        options=options | {"maxiter": STEPS},
        **(second if method in ("Newton-CG", "trust-ncg") else {}),
    )


def minimised(problem: Problem, tolerance: float) -> Outcome:
    """Every method on one problem, ours and scipy's. Call it under `jax.enable_x64(True)`."""
    scipys = {name: scipy_minimum(problem, method, tolerance) for name, method in SCIPY.items()}
    lowest = problem.minimum
    if lowest is None:
        lowest = min(result.fun for result in scipys.values())
    runs = {}
    for name, minimise in MINIMISERS.items():
        solve = functools.partial(minimise, problem.f, steps=STEPS, tolerance=tolerance)
        minimum = jax.jit(solve)(problem.start)
        values = np.asarray(minimum.values)
        slope = float(jnp.max(jnp.abs(minimum.gradient)))
        runs[name] = Run(int(minimum.steps), values[np.isfinite(values)] - lowest, slope)
    return Outcome(runs, {name: result.nit for name, result in scipys.items()})


def metrics_of(outcomes: dict[str, Outcome]) -> dict[str, float]:
    """Steps of every method, the worst minimum, and steps relative to scipy's."""
    runs = {(p, m): run for p, outcome in outcomes.items() for m, run in outcome.runs.items()}
    scipy_steps = {
        (p, m): steps for p, outcome in outcomes.items() for m, steps in outcome.scipy_steps.items()
    }
    ratios = [runs[pair].steps / steps for pair, steps in scipy_steps.items()]
    return {
        **family("{}_{}_steps", {pair: run.steps for pair, run in runs.items()}),
        **family("{}_{}_scipy_steps", scipy_steps),
        "largest_gap": max(float(run.gaps[-1]) for run in runs.values()),
        "largest_slope": max(run.slope for run in runs.values()),
        "largest_steps_over_scipy": max(ratios),
        "median_steps_over_scipy": float(np.median(ratios)),
    }


def minima(key, cfg: Config) -> Result:
    """Every method on every problem, beside scipy."""
    with jax.enable_x64(True):
        outcomes = {name: minimised(p, cfg.tolerance) for name, p in problems(cfg).items()}
    return Result(metrics_of(outcomes), {"minima.png": draw_minima(outcomes)})


def newton(key, cfg: Config) -> Result:
    """Order of convergence of Newton's method on the logistic regression."""
    f, start, _ = problems(cfg)["logistic"]
    with jax.enable_x64(True):
        minimum = jax.jit(lambda x: MINIMISERS["newton"](f, x, tolerance=1e-13))(start)
        values = np.asarray(minimum.values)
    errors = np.sqrt(np.maximum(values[np.isfinite(values)] - float(minimum.value), 0))
    errors = errors[errors > 1e-13]
    return Result({"newton_order": order(errors)}, {"newton.png": draw_newton(errors)})


def draw_minima(outcomes: dict[str, Outcome]):
    """f - f* over the steps of every method."""
    figure, axes = figures.panels(min(3, len(outcomes)), -(-len(outcomes) // 3))
    for ax, (name, outcome) in zip(axes, outcomes.items()):
        for method, run in outcome.runs.items():
            ax.semilogy(np.maximum(run.gaps, 1e-18), label=method.replace("_", " "))
        ax.set(title=name.replace("_", ", "), xlabel="step", ylabel="f - f*", ylim=(1e-18, None))
    for ax in axes[len(outcomes) :]:
        ax.set_axis_off()
    return figures.legends(figure)


def draw_newton(errors: np.ndarray):
    """The error of Newton's method over the steps, and each error over the one before."""
    figure, (over_steps, over_errors) = figures.panels(2)
    over_steps.semilogy(errors, "-o", ms=4)
    over_steps.set(title="Newton's method", xlabel="step", ylabel="error sqrt(f - f*)")
    over_errors.loglog(errors[:-1], errors[1:], "-o", ms=4, label="Newton's method")
    over_errors.loglog(errors, errors, "--", color="gray", label="linear, slope 1")
    over_errors.loglog(errors, errors**2, ":", color="gray", label="quadratic, slope 2")
    over_errors.set(title="order of convergence", xlabel="error", ylabel="error one step later")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """All methods beside scipy, and the order of convergence of Newton's method."""
    return {
        "minima": functools.partial(minima, cfg=cfg),
        "newton": functools.partial(newton, cfg=cfg),
    }
