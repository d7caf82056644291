"""Natural gradients with the exact and with the empirical Fisher matrix, for a line fit.

A line t = p_0 + p_1 x + noise of variance v is fitted by least squares. The Fisher matrix of the
model, which assumes variance 1, is the Hessian E [1 x]^T [1 x]: a natural step of rate 1 ends at
the minimum. The empirical Fisher matrix is r^2 times as large for residuals of size r: v times at
the minimum, and far more away from it.
Source: Kunstner et al. 2019, section 3 and figure 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family, numpy_generator
from panorax.maths.optimisation.fisher import (
    GAUSSIAN,
    empirical_fisher_matrix,
    fisher_matrix,
    natural_gradient,
    sampled_fisher_matrix,
)

GRID = np.linspace(-3, 3, 13)
"""values of p_0 - 1 and p_1 - 1; the true line has p = (1, 1)"""
STARTS = ((-2.6, -1.0), (2.6, 2.6), (2.6, -1.8), (-1.5, 2.8))
"""starts of the paths, relative to (1, 1)"""
TITLES = {
    "gradient": "gradient",
    "natural": "natural gradient",
    "empirical": "empirical natural gradient",
}


class Line(NamedTuple):
    """A line fitted to points, with the matrices that define natural gradients."""

    outputs: Callable
    """values of the line at the points, (N, 1), as a function of p"""
    loss: Callable
    """half the mean squared error at p"""
    least: Float[Array, " 2"]
    """p of the smallest loss"""
    fisher: Float[Array, "2 2"]
    """Fisher matrix, the same at every p"""
    empirical: Callable
    """empirical Fisher matrix at p"""


class Rule(NamedTuple):
    """A descent rule: p <- p - rate * direction(p)."""

    direction: Callable
    """direction of a step at p"""
    rate: float
    """length of a step as a multiple of the direction"""


class Flow(NamedTuple):
    """Directions and paths of a rule."""

    arrows_G2: np.ndarray
    """-direction at the nodes of the grid"""
    paths_PS2: np.ndarray
    """points of 60 steps from each start"""


def line(points: int, variance: float, rng: np.random.Generator):
    """Outputs as a function of p, and targets (N, 1), for x ~ N(1, 1) and p = (1, 1)."""
    x = jnp.asarray(1 + rng.normal(size=points), jnp.float32)
    t = 1 + x + variance**0.5 * jnp.asarray(rng.normal(size=points), jnp.float32)
    return lambda p: (p[0] + p[1] * x)[:, None], t[:, None]


def fitted(points: int, variance: float, rng: np.random.Generator) -> Line:
    """A fitted line; its minimum is one natural step from anywhere."""
    outputs, t = line(points, variance, rng)
    losses = lambda p: GAUSSIAN.loss(outputs(p), t)
    loss = lambda p: jnp.mean(losses(p))
    fisher = jax.jit(lambda p: fisher_matrix(outputs, GAUSSIAN, p))(jnp.ones(2))
    to_least = jax.jit(lambda p: p - natural_gradient(fisher, jax.grad(loss)(p)))
    empirical = jax.jit(lambda p: empirical_fisher_matrix(losses, p))
    return Line(outputs, loss, to_least(jnp.ones(2)), fisher, empirical)


def rules_of(fit: Line) -> dict[str, Rule]:
    """Plain, natural and empirical natural gradient descent."""
    gradient = jax.grad(fit.loss)
    return {
        "gradient": Rule(gradient, 0.1),
        "natural": Rule(lambda p: natural_gradient(fit.fisher, gradient(p)), 0.1),
        "empirical": Rule(lambda p: natural_gradient(fit.empirical(p), gradient(p), 1e-6), 1.0),
    }


def nodes() -> Float[Array, "G 2"]:
    """The nodes of the grid."""
    return 1 + jnp.stack(jnp.meshgrid(GRID, GRID), -1).reshape(-1, 2).astype(jnp.float32)


def flow(rule: Rule) -> Flow:
    """Arrows on the grid and paths from the starts."""
    step = lambda p, _: (p - rule.rate * rule.direction(p), p)
    path = lambda p: jax.lax.scan(step, p, length=60)[1]
    arrows = -jax.jit(jax.vmap(rule.direction))(nodes())
    return Flow(np.asarray(arrows), np.asarray(jax.jit(jax.vmap(path))(1 + jnp.array(STARTS))))


def least_cosine(arrows_G2: np.ndarray, least: np.ndarray) -> float:
    """Smallest cosine between an arrow and the way to the minimum, over nodes 0.3 or more away."""
    toward = least[None] - np.asarray(nodes())
    distance, length = np.linalg.norm(toward, axis=1), np.linalg.norm(arrows_G2, axis=1)
    cosine = np.sum(arrows_G2 * toward, 1) / (length * distance)
    return float(cosine[distance > 0.3].min())


def length_ratio(rule: Rule, least) -> float:
    """Length of the direction at distance 30 over 10 times its length at distance 3.

    The ratio is 1 for a rule that knows the curvature.
    """
    away = least[None] + jnp.array([[30.0, 0.0], [3.0, 0.0]])
    far, near = jax.jit(jax.vmap(rule.direction))(away)
    return float(jnp.linalg.norm(far) / (10 * jnp.linalg.norm(near)))


def sampled_gap(fit: Line, key) -> float:
    """Relative error of the Fisher matrix estimated from 100 sampled labels per point."""
    sampled = jax.jit(lambda p: sampled_fisher_matrix(fit.outputs, GAUSSIAN, p, key, samples=100))(
        fit.least
    )
    return float(jnp.linalg.norm(sampled - fit.fisher) / jnp.linalg.norm(fit.fisher))


def fields(key, points: int) -> Result:
    """Both Fisher matrices and the descent along them, at noise variance 1 (right) and 4 (wrong).

    All metrics but `empirical_over_fisher_right_noise` are measured at variance 4.
    """
    key_line, key_sampled = jax.random.split(key)
    rng = numpy_generator(key_line)
    lines = {"right": fitted(points, 1.0, rng), "wrong": fitted(points, 4.0, rng)}
    trace_ratio = {
        noise: jnp.trace(each.empirical(each.least)) / jnp.trace(each.fisher)
        for noise, each in lines.items()
    }
    wrong = lines["wrong"]
    rules = rules_of(wrong)
    flows = {name: flow(rule) for name, rule in rules.items()}
    cosines = {
        name: least_cosine(f.arrows_G2, np.asarray(wrong.least)) for name, f in flows.items()
    }
    lengths = {name: length_ratio(rules[name], wrong.least) for name in ("natural", "empirical")}
    metrics = {
        **family("empirical_over_fisher_{}_noise", trace_ratio),
        "sampled_fisher_gap": sampled_gap(wrong, key_sampled),
        **family("least_cosine_{}", cosines),
        **family("length_{}_far_over_near", lengths),
    }
    return Result(metrics, {"fields.png": draw_flows(flows, wrong)})


def draw_flows(flows: dict[str, Flow], fit: Line):
    """Arrows, as long as the root of the direction, and paths, over the contours of the loss."""
    figure, axes = figures.panels(len(flows), width=4.6, height=4.6, sharey=True)
    side = np.linspace(-2.4, 4.4, 80, dtype=np.float32)
    corners = jnp.asarray(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
    height = np.asarray(jax.jit(jax.vmap(fit.loss))(corners)).reshape(80, 80)
    for ax, (name, each) in zip(axes, flows.items(), strict=True):
        ax.contour(side, side, height, levels=12, colors="0.85")
        length = np.linalg.norm(each.arrows_G2, axis=1, keepdims=True)
        arrows = each.arrows_G2 / np.sqrt(np.maximum(length, 1e-9))
        ax.quiver(*np.asarray(nodes()).T, *arrows.T, color="0.55", width=0.003)
        for path in each.paths_PS2:
            ax.plot(*path.T, "-o", ms=3, lw=1.2)
        ax.plot(*fit.least, "k*", ms=12, label="minimum")
        ax.set(title=TITLES[name], xlabel="p_0", xlim=(-2.4, 4.4), ylim=(-2.4, 4.4))
    axes[0].set_ylabel("p_1")
    return figures.legends(figure, frameon=True, loc="upper right")
