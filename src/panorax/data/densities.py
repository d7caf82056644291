"""Densities in the plane, drawn afresh at each step, and the distance of samples from them."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, checked
from panorax.core.state import Result
from panorax.core.study import family
from panorax.data.source import Source
from panorax.ops.frechet import sliced_wasserstein
from panorax.ops.solvers import euler, heun

STEPS = (1, 2, 4, 8, 50)
MEAN, STD = np.array([1.5, -0.5]), 0.4


@checked
class Config:
    name: Literal["eight_gaussians", "two_moons", "checkerboard", "spiral", "gaussian"] = (
        "checkerboard"
    )
    """density of the points"""
    n: Count = 4096
    """number of held-out points, and number of points in each judged sample"""


def eight_gaussians(rng, n):
    """Eight equal Gaussians of standard deviation 0.15 on a circle of radius 2."""
    angle = rng.integers(0, 8, n) * np.pi / 4
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.15 * rng.normal(size=(n, 2))


def two_moons(rng, n):
    """Two interleaved half circles of radius 1.5, symmetric about 0, with noise of std 0.12."""
    side, angle = rng.integers(0, 2, n), rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    return 1.5 * (np.where(side[:, None], upper, -upper) + 0.08 * rng.normal(size=(n, 2)))


def checkerboard(rng, n):
    """Uniform on the dark squares, of side 1, of a 4 x 4 board centred at the origin."""
    column, row = rng.integers(0, 4, n), 2 * rng.integers(0, 2, n)
    corner = np.stack([column - 2, row + column % 2 - 2], 1)
    return corner + rng.uniform(size=(n, 2))


def spiral(rng, n):
    """A spiral of one and a half turns out to radius 2, with noise of standard deviation 0.06."""
    angle = 3 * np.pi * np.sqrt(rng.uniform(size=n))
    radius = 2 * angle / (3 * np.pi)
    curve = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return curve + 0.06 * rng.normal(size=(n, 2))


def gaussian(rng, n):
    """N(MEAN, STD^2 I), whose exact velocity is `gaussian_velocity`."""
    return MEAN + STD * rng.normal(size=(n, 2))


def gaussian_velocity(t, x):
    """E[x_1 - x_0 | x_t = x] for x_0 ~ N(0, I) and x_1 ~ N(m, s^2 I):

    m + (t s^2 - (1 - t)) / ((1 - t)^2 + t^2 s^2) (x - t m)
    """
    mean = jnp.asarray(MEAN, jnp.float32)[None, :]
    return mean + (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2) * (x - t * mean)


DENSITIES = {f.__name__: f for f in (eight_gaussians, two_moons, checkerboard, spiral, gaussian)}


def points(cfg: Config, n: int, *seed: int) -> dict[str, np.ndarray]:
    """n points drawn with `seed`, and their class 0."""
    x = DENSITIES[cfg.name](np.random.default_rng(seed), n)
    return {"x": x.astype(np.float32), "label": np.zeros(n, np.int32)}


def batch(cfg: Config, n: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """n new points for a training step."""
    return points(cfg, n, seed, step)


def held_out(cfg: Config) -> dict[str, np.ndarray]:
    """`cfg.n` points with a seed that no training step uses."""
    return points(cfg, cfg.n, 2**31, 0)


def source(cfg: Config) -> Source:
    """The density as a Source of points in the plane, all of one class."""
    bind = functools.partial
    return Source((2,), 1, bind(batch, cfg), bind(held_out, cfg), bind(judge, cfg=cfg))


def judge(draw, key: jax.Array, cfg: Config) -> Result:
    """Sliced Wasserstein distance from samples to held-out points.

    Samples use Euler's and Heun's method, each with every number of steps in STEPS.
    `distance_floor` is the distance from the held-out points to a second sample from the density.
    """
    key_draw, key_directions = jax.random.split(key)
    truth, second_sample = held_out(cfg)["x"], points(cfg, cfg.n, 2**31, 1)["x"]
    distance = jax.jit(lambda x: sliced_wasserstein(x, jnp.asarray(truth), key_directions))
    label = jnp.zeros(cfg.n, jnp.int32)
    euler_x, heun_x = (
        {steps: draw(key_draw, label, steps, 1.0, solver) for steps in STEPS}
        for solver in (euler, heun)
    )
    metrics = {"distance_floor": float(distance(jnp.asarray(second_sample)))}
    metrics |= family("distance_euler_{}", {steps: distance(x) for steps, x in euler_x.items()})
    metrics |= family("distance_heun_{}", {steps: distance(x) for steps, x in heun_x.items()})
    return Result(metrics, {"samples.png": draw_clouds(truth, euler_x)})


def draw_clouds(truth: np.ndarray, samples: dict[int, jax.Array]):
    """Histograms of held-out points and of samples by number of Euler steps."""
    clouds = {"held-out points": truth}
    clouds |= {f"{steps} Euler step{'s' * (steps > 1)}": x for steps, x in samples.items()}
    figure, axes = figures.panels(-(-len(clouds) // 2), 2, width=3, height=3.2)
    for ax, (title, x) in zip(axes, clouds.items(), strict=True):
        x = np.asarray(x)
        ax.hist2d(x[:, 0], x[:, 1], bins=96, range=((-3, 3), (-3, 3)), cmap="magma")
        ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        ax.grid(False)
    return figure
