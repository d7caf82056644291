"""Densities in the plane by name, fresh samples every step, and how far generated points are from them."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.ranges import Count, checked
from panorax.core.state import Result
from panorax.data.source import Source
from panorax.ops.frechet import sliced_wasserstein
from panorax.ops.solvers import heun

STEPS = (1, 2, 4, 8, 50)
MEAN, STD = np.array([1.5, -0.5]), 0.4


@checked
class Config:
    name: Literal["eight_gaussians", "two_moons", "checkerboard", "spiral", "gaussian"] = (
        "checkerboard"
    )
    n: Count = 4096
    """points in the held-out set and in each judged sample"""


def eight_gaussians(rng, n):
    """Eight equal Gaussians of standard deviation 0.15 on a circle of radius 2."""
    angle = rng.integers(0, 8, n) * np.pi / 4
    return 2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.15 * rng.normal(size=(n, 2))


def two_moons(rng, n):
    """Two interleaved half circles of radius 1 with noise of 0.08, about the origin."""
    side, angle = rng.integers(0, 2, n), rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    return 1.5 * (np.where(side[:, None], upper, -upper) + 0.08 * rng.normal(size=(n, 2)))


def checkerboard(rng, n):
    """Uniform on the dark squares, of side 1, of a 4 x 4 board about the origin."""
    column, row = rng.integers(0, 4, n), 2 * rng.integers(0, 2, n)
    corner = np.stack([column - 2, row + column % 2 - 2], 1)
    return corner + rng.uniform(size=(n, 2))


def spiral(rng, n):
    """One and a half turns outwards to radius 2, with noise of 0.06."""
    angle = 3 * np.pi * np.sqrt(rng.uniform(size=n))
    radius = 2 * angle / (3 * np.pi)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + 0.06 * rng.normal(
        size=(n, 2)
    )


def gaussian(rng, n):
    """N(MEAN, STD^2 I), the one whose velocity is known: see `gaussian_velocity`."""
    return MEAN + STD * rng.normal(size=(n, 2))


def gaussian_velocity(t, x):
    """E[x_1 - x_0 | x_t = x] for x_0 ~ N(0, I), x_1 ~ N(m, s^2 I): m + (t s^2 - (1 - t)) / ((1 - t)^2 + t^2 s^2) (x - t m)."""
    mean = jnp.asarray(MEAN, jnp.float32)[None, :]
    return mean + (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2) * (x - t * mean)


DENSITIES = {f.__name__: f for f in (eight_gaussians, two_moons, checkerboard, spiral, gaussian)}


def points(cfg: Config, n: int, *seed: int) -> dict[str, np.ndarray]:
    """n points drawn with this seed, and their class, 0."""
    x = DENSITIES[cfg.name](np.random.default_rng(seed), n)
    return {"x": x.astype(np.float32), "label": np.zeros(n, np.int32)}


def batch(cfg: Config, n: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """Fresh points for a training step."""
    return points(cfg, n, seed, step)


def held_out(cfg: Config) -> dict[str, np.ndarray]:
    """Points that no training step draws."""
    return points(cfg, cfg.n, 2**31, 0)


def source(cfg: Config) -> Source:
    """The density as a value: points of the plane, all of one class."""
    bind = functools.partial
    return Source((2,), 1, bind(batch, cfg), bind(held_out, cfg), bind(judge, cfg=cfg))


def judge(draw, key: jax.Array, cfg: Config) -> Result:
    """Sliced Wasserstein distance of samples to held-out points for each number of steps of Euler and of Heun, with the distance of two
    true samples as the floor; a picture of the points."""
    key_draw, key_directions = jax.random.split(key)
    truth, more = held_out(cfg)["x"], points(cfg, cfg.n, 2**31, 1)["x"]
    distance = jax.jit(lambda x: sliced_wasserstein(x, jnp.asarray(truth), key_directions))
    label = jnp.zeros(cfg.n, jnp.int32)
    metrics, clouds = {"distance_floor": float(distance(jnp.asarray(more)))}, {"data": truth}
    for steps in STEPS:
        euler_x, heun_x = draw(key_draw, label, steps, 1.0), draw(key_draw, label, steps, 1.0, heun)
        metrics[f"distance_euler_{steps}"], metrics[f"distance_heun_{steps}"] = (
            float(distance(euler_x)),
            float(distance(heun_x)),
        )
        clouds[f"Euler, {steps} step{'s' * (steps > 1)}"] = np.asarray(euler_x)
    return Result(metrics, {"samples.png": _picture(clouds)})


def _picture(clouds):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(clouds), 3.2), layout="constrained")
    for ax, (title, x) in zip(figure.subplots(1, len(clouds)), clouds.items()):
        ax.hist2d(x[:, 0], x[:, 1], bins=96, range=((-3, 3), (-3, 3)), cmap="magma")
        ax.set(title=title, xticks=(), yticks=(), aspect="equal")
    return figure
