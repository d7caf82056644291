"""Concentration of measure: the volume of a ball, a cube and a Gaussian in many dimensions.

In d dimensions the ball inscribed in the unit cube fills pi^(d/2) / (Gamma(d/2 + 1) 2^d) of it. An
outer shell of relative width w holds a share 1 - (1 - w)^d of a ball. The norm of a standard
Gaussian vector follows the chi distribution: its mean sqrt(2) Gamma((d+1)/2) / Gamma(d/2) is close
to sqrt(d), its variance d - mean^2 is close to 1/2 in every dimension, and P(norm <= x) is
P(d/2, x^2/2), the regularised incomplete Gamma function.

The study compares each exact value with a Monte Carlo estimate (`_sampled`) and the 95% interval of
the estimate (`_low`, `_high`).

    largest_z               largest |sampled - exact| in standard errors
    largest_norm_distance   largest Kolmogorov distance of the sampled norms from the chi
                            distribution, times sqrt(samples)

Source: Blum, Hopcroft & Kannan, Foundations of Data Science, chapter 2; Vershynin, High-Dimensional
Probability, section 3.1.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc, gammaln
from jaxtyping import Array, Float, Num

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.estimates import kolmogorov_distance, mean_interval, share_interval


@checked
class Config:
    dims: tuple[Count, ...] = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
    """dimensions d that are sampled"""
    samples: Count = 4000
    """points drawn for each estimate"""
    shell: PositiveShare = 0.01
    """width of the outer shell, as a share of the radius [w]"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not self.dims or self.samples < 2:
            raise UserError("dims needs at least one dimension, samples must be at least 2")


def log_ball_cube_ratio(d: Num[Array, "*n"]) -> Float[Array, "*n"]:
    """log of the share of the unit cube in d dimensions that its inscribed ball fills.

    From d = 64 the share itself is below the smallest normal float32.
    """
    d = jnp.asarray(d, jnp.float32)
    return 0.5 * d * jnp.log(jnp.pi) - gammaln(0.5 * d + 1) - d * jnp.log(2.0)


def shell_fraction(d: Num[Array, "*n"], width: float) -> Float[Array, "*n"]:
    """Share 1 - (1 - width)^d of a d-ball within `width` of its surface, in units of the radius."""
    return -jnp.expm1(jnp.asarray(d, jnp.float32) * jnp.log1p(-width))


def gaussian_norm_moments(d: Num[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Mean and standard deviation of |x|, x ~ N(0, I_d).

    From d = 20 both use a series in 1/d, because float32 loses d - mean^2 to cancellation.
    """
    d = jnp.asarray(d, jnp.float32)
    exact_mean = jnp.sqrt(2.0) * jnp.exp(gammaln(0.5 * (d + 1)) - gammaln(0.5 * d))
    series_mean = jnp.sqrt(d) * (1 - 1 / (4 * d) + 1 / (32 * d**2) + 5 / (128 * d**3))
    series_variance = 0.5 - 1 / (8 * d) - 1 / (16 * d**2)
    small = d < 20
    mean = jnp.where(small, exact_mean, series_mean)
    return mean, jnp.sqrt(jnp.where(small, d - jnp.square(exact_mean), series_variance))


def gaussian_norm_cdf(x: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(|z| <= x) for z ~ N(0, I_d)."""
    return gammainc(jnp.float32(0.5 * d), 0.5 * jnp.square(jnp.asarray(x, jnp.float32)))


@functools.partial(jax.jit, static_argnames=("d", "n"))
def gaussian_norms(key, d: int, n: int) -> Float[Array, " n"]:
    """Norms of n draws from N(0, I_d), one draw in memory at a time."""
    return jax.lax.map(
        lambda key: jnp.linalg.norm(jax.random.normal(key, (d,))), jax.random.split(key, n)
    )


@functools.partial(jax.jit, static_argnames=("d", "n"))
def uniform_in_ball(key, d: int, n: int) -> Float[Array, "n d"]:
    """n points uniform in the unit ball: the direction of a Gaussian, and the radius u^(1/d)."""
    key_direction, key_radius = jax.random.split(key)
    x = jax.random.normal(key_direction, (n, d))
    radius = jax.random.uniform(key_radius, (n, 1)) ** (1 / d)
    return x / jnp.linalg.norm(x, axis=1, keepdims=True) * radius


@functools.partial(jax.jit, static_argnames=("d", "n"))
def inside_ball(key, d: int, n: int) -> Float[Array, ""]:
    """Share of n uniform points of the unit cube that lie in its inscribed ball."""
    hits = lambda key: jnp.sum(jnp.square(jax.random.uniform(key, (d,)) - 0.5)) <= 0.25
    return jnp.mean(jax.lax.map(hits, jax.random.split(key, n)).astype(jnp.float32))


class Estimate(NamedTuple):
    """An exact value beside its Monte Carlo estimate."""

    exact: float
    """closed form"""
    sampled: float
    """mean of the samples"""
    low: float
    """lower end of the 95% interval of the sampled value"""
    high: float
    """upper end of the 95% interval of the sampled value"""
    z: float
    """sampled - exact, in standard errors under the exact law"""


def share_estimate(exact: float, sampled: float, n: int) -> Estimate:
    """A probability beside its share among n samples."""
    error = (max(exact * (1 - exact), 1 / n) / n) ** 0.5
    low, high = share_interval(round(sampled * n), n)
    return Estimate(exact, sampled, low, high, (sampled - exact) / error)


class Row(NamedTuple):
    """All quantities in one dimension d."""

    ball: Estimate
    """share of the cube in its inscribed ball"""
    shell: Estimate
    """share of the ball in its outer shell"""
    norm: Estimate
    """mean norm of a Gaussian vector, over sqrt(d)"""
    spread: float
    """standard deviation of the norm, exact"""
    spread_sampled: float
    """standard deviation of the sampled norms"""
    distance: float
    """Kolmogorov distance of the sampled norms from the chi distribution, times sqrt(samples)"""

    @property
    def largest_z(self) -> float:
        """Largest |z| of the three estimates."""
        return max(abs(estimate.z) for estimate in (self.ball, self.shell, self.norm))


def measure(d: int, key, cfg: Config) -> Row:
    """Samples all quantities in d dimensions, from independent points."""
    key_cube, key_shell, key_norm = jax.random.split(key, 3)
    n = cfg.samples
    ball = math.exp(log_ball_cube_ratio(jnp.array(d)))
    radius = jnp.linalg.norm(uniform_in_ball(key_shell, d, n), axis=1)
    in_shell = float(jnp.mean(radius > 1 - cfg.shell))
    mean, spread = (float(x) for x in gaussian_norm_moments(jnp.array(d)))
    norms = gaussian_norms(key_norm, d, n)
    sampled = float(jnp.mean(norms))
    z = (sampled - mean) / (spread / n**0.5)
    interval = mean_interval(np.asarray(norms) / d**0.5)
    return Row(
        ball=share_estimate(ball, float(inside_ball(key_cube, d, n)), n),
        shell=share_estimate(float(shell_fraction(jnp.array(d), cfg.shell)), in_shell, n),
        norm=Estimate(mean / d**0.5, sampled / d**0.5, *interval, z),
        spread=spread,
        spread_sampled=float(jnp.std(norms)),
        distance=kolmogorov_distance(norms, lambda x: gaussian_norm_cdf(x, d)) * n**0.5,
    )


def by_dimension(estimates: dict[int, Estimate]) -> dict[tuple[str, int], float]:
    """Exact and sampled values and interval ends, by suffix of the metric and dimension."""
    values = {}
    for d, estimate in estimates.items():
        values["", d] = estimate.exact
        values["_sampled", d] = estimate.sampled
        values["_low", d] = estimate.low
        values["_high", d] = estimate.high
    return values


def dimensions(key, cfg: Config) -> Result:
    """All quantities in all dimensions."""
    keys = jax.random.split(key, len(cfg.dims))
    rows = {d: measure(d, key, cfg) for d, key in zip(cfg.dims, keys, strict=True)}
    ball = {d: row.ball for d, row in rows.items()}
    shell = {d: row.shell for d, row in rows.items()}
    norm = {d: row.norm for d, row in rows.items()}
    metrics = family("ball_cube_ratio{}_d{}", by_dimension(ball))
    metrics |= family("shell_fraction{}_d{}", by_dimension(shell))
    metrics |= family("norm_over_sqrt_d{}_d{}", by_dimension(norm))
    metrics |= family("norm_spread_d{}", {d: row.spread for d, row in rows.items()})
    metrics |= family("norm_spread_sampled_d{}", {d: row.spread_sampled for d, row in rows.items()})
    metrics["largest_norm_distance"] = max(row.distance for row in rows.values())
    metrics["largest_z"] = max(row.largest_z for row in rows.values())
    return Result(metrics, {"concentration.png": draw(rows, cfg)})


def draw(rows: dict[int, Row], cfg: Config):
    """The three quantities over the dimension: exact curves, and samples with their intervals."""
    figure, axes = figures.panels(3)
    sampled = f"{cfg.samples} samples, 95% interval"
    draw_estimates(axes[0], {d: row.ball for d, row in rows.items()}, sampled)
    draw_estimates(axes[1], {d: row.shell for d, row in rows.items()}, sampled)
    draw_estimates(axes[2], {d: row.norm for d, row in rows.items()}, sampled)
    d = np.array(list(rows))
    mean = np.array([row.norm.exact for row in rows.values()])
    spread = np.array([row.spread for row in rows.values()]) / d**0.5
    axes[2].fill_between(d, mean - spread, mean + spread, alpha=0.2, label="standard deviation")
    axes[0].set(title="ball in the cube", ylabel="share of volume", yscale="log", ylim=(1e-9, 2))
    axes[1].set(title=f"outer {cfg.shell:.0%} of the ball", ylabel="share of volume")
    axes[2].set(title="norm of a Gaussian vector", ylabel=r"norm / $\sqrt{d}$")
    return figures.legends(figure)


def draw_estimates(ax, estimates: dict[int, Estimate], label: str):
    """Exact values as a curve over the dimension, sampled values as points with error bars."""
    d = list(estimates)
    exact, sampled, low, high, _ = np.array(list(estimates.values())).T
    errors = np.maximum([sampled - low, high - sampled], 0)
    ax.plot(d, exact, label="exact")
    ax.errorbar(d, sampled, errors, fmt="o", ms=4, capsize=3, label=label)
    ax.set(xlabel="dimension d", xscale="log")


def study(cfg: Config) -> dict[str, Part]:
    """One part: all quantities in all dimensions."""
    return {"dimensions": functools.partial(dimensions, cfg=cfg)}
