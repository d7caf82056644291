"""Concentration of measure: where the volume of a ball, a cube and a Gaussian lies in many dimensions.

The ball inscribed in the unit cube fills pi^(d/2) / (Gamma(d/2 + 1) 2^d) of it; a share 1 - (1 - w)^d of a ball lies in its outer shell of
relative width w; the norm of a standard Gaussian vector follows the chi distribution, with mean sqrt(2) Gamma((d+1)/2) / Gamma(d/2), close to
sqrt(d), and variance d - mean^2, close to 1/2 whatever d is. Every exact value is set beside a Monte Carlo estimate with its interval of 95% confidence,
and the sampled norms beside their whole distribution, P(norm <= x) = P(d/2, x^2/2), P the regularised incomplete Gamma function.
Source: Blum, Hopcroft & Kannan, Foundations of Data Science, chapter 2; Vershynin, High-Dimensional Probability, section 3.1.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc, gammaln
from jaxtyping import Array, Float, Num

from panorax.core.ranges import Count, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.maths.estimates import kolmogorov_distance, mean_interval, share_interval


@checked
class Config:
    dims: tuple[Count, ...] = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
    """dimensions looked at"""
    samples: Count = 4000
    """points drawn in each"""
    shell: PositiveShare = 0.01
    """width of the outer shell, as a share of the radius"""
    seed: Whole = 0

    def __post_init__(self):
        if not self.dims or self.samples < 2:
            raise ValueError("dims needs one dimension at least, and samples must be at least 2")


def log_ball_cube_ratio(d: Num[Array, "*n"]) -> Float[Array, "*n"]:
    """log of the volume of the ball of diameter 1 in d dimensions, the share of the unit cube that its inscribed ball fills.

    The logarithm, because from d = 64 on the share itself is below the smallest float32.
    """
    d = jnp.asarray(d, jnp.float32)
    return 0.5 * d * jnp.log(jnp.pi) - gammaln(0.5 * d + 1) - d * jnp.log(2.0)


def shell_fraction(d: Num[Array, "*n"], width: float) -> Float[Array, "*n"]:
    """1 - (1 - width)^d: share of a d-ball's volume within `width` (of the radius, 0 to 1) of its surface."""
    return -jnp.expm1(jnp.asarray(d, jnp.float32) * jnp.log1p(-width))


def gaussian_norm_moments(d: Num[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Mean and standard deviation of |x|, x ~ N(0, I_d): the chi distribution with d degrees of freedom.

    From d = 20 on, where float32 loses the variance d - mean^2 to cancellation, its series in 1/d is used.
    """
    d = jnp.asarray(d, jnp.float32)
    exact_mean = jnp.sqrt(2.0) * jnp.exp(gammaln(0.5 * (d + 1)) - gammaln(0.5 * d))
    series_mean = jnp.sqrt(d) * (1 - 1 / (4 * d) + 1 / (32 * d**2) + 5 / (128 * d**3))
    series_variance = 0.5 - 1 / (8 * d) - 1 / (16 * d**2)
    small = d < 20
    mean = jnp.where(small, exact_mean, series_mean)
    return mean, jnp.sqrt(jnp.where(small, d - jnp.square(exact_mean), series_variance))


def gaussian_norm_cdf(x: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(norm <= x) for x ~ N(0, I_d): the chi distribution."""
    return gammainc(jnp.float32(0.5 * d), 0.5 * jnp.square(jnp.asarray(x, jnp.float32)))


@functools.partial(jax.jit, static_argnames=("d", "n"))
def gaussian_norms(key, d: int, n: int) -> Float[Array, " n"]:
    """Norms of n draws from N(0, I_d), one draw in memory at a time."""
    return jax.lax.map(
        lambda key: jnp.linalg.norm(jax.random.normal(key, (d,))), jax.random.split(key, n)
    )


@functools.partial(jax.jit, static_argnames=("d", "n"))
def uniform_in_ball(key, d: int, n: int) -> Float[Array, "n d"]:
    """n points uniform in the unit ball: a direction from a Gaussian, a radius u^(1/d)."""
    key_direction, key_radius = jax.random.split(key)
    x = jax.random.normal(key_direction, (n, d))
    radius = jax.random.uniform(key_radius, (n, 1)) ** (1 / d)
    return x / jnp.linalg.norm(x, axis=1, keepdims=True) * radius


@functools.partial(jax.jit, static_argnames=("d", "n"))
def inside_ball(key, d: int, n: int) -> Float[Array, ""]:
    """Share of n points uniform in the unit cube that fall into its inscribed ball."""
    hit = lambda key: jnp.sum(jnp.square(jax.random.uniform(key, (d,)) - 0.5)) <= 0.25
    return jnp.mean(jax.lax.map(hit, jax.random.split(key, n)).astype(jnp.float32))


def measure(d: int, key, cfg: Config) -> dict[str, float]:
    """Exact and sampled values in d dimensions; `..._low` and `..._high` are the ends of the sampled one's interval, `..._z` their distance in standard
    errors, `norm_distance` the Kolmogorov distance of the norms from their distribution, times sqrt(samples)."""
    key_cube, key_shell, key_norm = jax.random.split(key, 3)
    n = cfg.samples
    ratio, sampled_ratio = (
        math.exp(log_ball_cube_ratio(jnp.array(d))),
        float(inside_ball(key_cube, d, n)),
    )
    shell = float(shell_fraction(jnp.array(d), cfg.shell))
    radius = jnp.linalg.norm(uniform_in_ball(key_shell, d, n), axis=1)
    mean, spread = (float(x) for x in gaussian_norm_moments(jnp.array(d)))
    norms = gaussian_norms(key_norm, d, n)
    error = lambda p: (max(p * (1 - p), 1 / n) / n) ** 0.5
    sampled_shell, sampled_mean = float(jnp.mean(radius > 1 - cfg.shell)), float(jnp.mean(norms))
    intervals = {
        "ball_cube_ratio": share_interval(round(sampled_ratio * n), n),
        "shell_fraction": share_interval(round(sampled_shell * n), n),
        "norm_over_sqrt_d": mean_interval(np.asarray(norms) / d**0.5),
    }
    ends = {
        f"{name}_{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }
    return ends | {
        "ball_cube_ratio": ratio,
        "ball_cube_ratio_sampled": sampled_ratio,
        "ball_cube_ratio_z": (sampled_ratio - ratio) / error(ratio),
        "shell_fraction": shell,
        "shell_fraction_sampled": sampled_shell,
        "shell_fraction_z": (sampled_shell - shell) / error(shell),
        "norm_over_sqrt_d": mean / d**0.5,
        "norm_over_sqrt_d_sampled": sampled_mean / d**0.5,
        "norm_z": (sampled_mean - mean) / (spread / n**0.5),
        "norm_spread": spread,
        "norm_spread_sampled": float(jnp.std(norms)),
        "norm_distance": kolmogorov_distance(norms, lambda x: gaussian_norm_cdf(x, d)) * n**0.5,
    }


def study(cfg: Config, key) -> Result:
    """All quantities in all dimensions; `largest_z` is the largest distance of a sampled from an exact value, in standard errors,
    `largest_norm_distance` that of the norms from their distribution."""
    rows = {
        d: measure(d, key, cfg) for d, key in zip(cfg.dims, jax.random.split(key, len(cfg.dims)))
    }
    metrics = {
        f"{name}_d{d}": value
        for d, row in rows.items()
        for name, value in row.items()
        if not name.endswith(("_z", "_distance"))
    }
    metrics["largest_norm_distance"] = max(row["norm_distance"] for row in rows.values())
    metrics["largest_z"] = max(
        abs(v) for row in rows.values() for name, v in row.items() if name.endswith("_z")
    )
    return Result(metrics, {"concentration.png": draw(rows, cfg)})


def draw(rows: dict[int, dict[str, float]], cfg: Config):
    """Exact curves, sampled points with their intervals."""
    from matplotlib.figure import Figure

    panels = (
        ("ball_cube_ratio", "share of the cube inside its ball"),
        ("shell_fraction", f"share of the ball in its outer {cfg.shell:.0%}"),
        ("norm_over_sqrt_d", r"Gaussian norm / $\sqrt{d}$, $\pm$ one standard deviation"),
    )
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    d = jnp.array(list(rows))
    for ax, (name, title) in zip(figure.subplots(1, 3), panels):
        ax.plot(d, [row[name] for row in rows.values()], "-", color="C0", label="exact")
        sampled = np.array(
            [[row[name + end] for end in ("_sampled", "_low", "_high")] for row in rows.values()]
        )
        errors = np.maximum([sampled[:, 0] - sampled[:, 1], sampled[:, 2] - sampled[:, 0]], 0)
        ax.errorbar(
            d,
            sampled[:, 0],
            errors,
            fmt="o",
            color="C1",
            ms=4,
            capsize=3,
            label=f"{cfg.samples} samples, 95%",
        )
        ax.set(title=title, xlabel="dimension d", xscale="log")
        ax.grid(alpha=0.3)
    low, high = (
        [row["norm_over_sqrt_d"] + s * row["norm_spread"] / d**0.5 for d, row in rows.items()]
        for s in (-1, 1)
    )
    ax.fill_between(d, low, high, color="C0", alpha=0.2)
    figure.axes[0].set(yscale="log", ylim=(1e-9, 2))
    figure.axes[0].legend(frameon=False)
    return figure
