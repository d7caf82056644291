"""Orthogonality: the angle between random directions, and how many directions fit into a space that are nearly at right angles.

The cosine c of the angle between two independent directions, uniform on the sphere in d dimensions, has

    density  Gamma(d/2) / (sqrt(pi) Gamma((d-1)/2)) (1 - c^2)^((d-3)/2),      (1 + c)/2 ~ Beta((d-1)/2, (d-1)/2),

mean 0 and variance 1/d: arcsine in the plane, uniform in space, close to N(0, 1/d) in many dimensions. |c| < w has probability
I_{w^2}(1/2, (d-1)/2), I the regularised incomplete Beta function: 6.4% in the plane and exactly 10% in space for w = 0.1.
While n^2 P(|c| >= w) < 1, n random directions are likely all nearly orthogonal: n grows as e^(d w^2 / 4), while exactly orthogonal ones are d.
Source: Cai, Fan & Jiang 2013 (arXiv:1306.0256), section 2; Vershynin, High-Dimensional Probability, section 3.2.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln
from jaxtyping import Array, Float, Num

from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.maths.estimates import kolmogorov_distance, mean_interval, share_interval


@checked
class Config:
    dims: tuple[Count, ...] = (2, 3, 5, 10, 30, 100, 300, 1000, 10_000)
    """dimensions looked at, 2 at least"""
    pairs: Count = 20_000
    """of directions drawn in each"""
    width: PositiveShare = 0.1
    """absolute cosines below it count as nearly orthogonal"""
    together: Count = 1000
    """directions drawn at once in the largest dimension"""
    seed: Whole = 0

    def __post_init__(self):
        if not self.dims or min(self.dims) < 2 or self.pairs < 2 or self.together < 2:
            raise UserError(
                "dims needs one dimension of 2 or more at least, pairs and together must be at least 2"
            )


def cosine_cdf(c: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(cosine <= c) between random directions in d >= 2 dimensions: I_{(1 + c)/2}((d-1)/2, (d-1)/2)."""
    c = jnp.asarray(c, jnp.float32)
    return 0.5 * (1 + jnp.sign(c) * share_within(jnp.abs(c), d))


def cosine_log_density(c: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """log of the density at the top of this file."""
    return 0.5 * (d - 3) * jnp.log1p(-jnp.square(c)) - betaln(0.5, 0.5 * (d - 1))


def share_within(width: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(|cosine| < width) in d >= 2 dimensions: I_{width^2}(1/2, (d-1)/2)."""
    width = jnp.asarray(width, jnp.float32)
    return betainc(0.5, jnp.float32(0.5 * (d - 1)), jnp.minimum(jnp.square(width), 1))


def share_beyond(width: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(|cosine| >= width), without the cancellation of 1 - P(|cosine| < width): I_{1 - width^2}((d-1)/2, 1/2)."""
    width = jnp.asarray(width, jnp.float32)
    return betainc(jnp.float32(0.5 * (d - 1)), 0.5, (1 - width) * (1 + width))


def fit_together(width: float, d: int) -> float:
    """How many random directions are all within `width` of orthogonal with probability 1/2 at least: n^2 P(|cosine| >= width) = 1, by the union bound."""
    return float(share_beyond(jnp.float32(width), d)) ** -0.5


@functools.partial(jax.jit, static_argnames=("d", "n"))
def cosines(key, d: int, n: int) -> Float[Array, " n"]:
    """Cosines of n pairs of random directions, one pair in memory at a time."""

    def one(key):
        x, y = jax.random.normal(key, (2, d))
        return x @ y / jnp.sqrt((x @ x) * (y @ y))

    return jax.lax.map(one, jax.random.split(key, n))


@functools.partial(jax.jit, static_argnames=("d", "n"))
def largest_cosine(key, d: int, n: int) -> Float[Array, ""]:
    """Largest |cosine| between any two of n random directions."""
    x_ND = jax.random.normal(key, (n, d))
    x_ND /= jnp.linalg.norm(x_ND, axis=1, keepdims=True)
    return jnp.max(jnp.abs(x_ND @ x_ND.T) * (1 - jnp.eye(n)))


def measure(d: int, key, cfg: Config) -> tuple[dict[str, float], np.ndarray]:
    """Exact and sampled values in d dimensions, and the sampled cosines."""
    c = np.asarray(cosines(key, d, cfg.pairs))
    near = int(np.sum(np.abs(c) < cfg.width))
    low, high = share_interval(near, cfg.pairs)
    exact = float(share_within(jnp.float32(cfg.width), d))
    low_second, high_second = mean_interval(d * np.square(c, dtype=np.float64))
    return {
        "near": exact,
        "near_sampled": near / cfg.pairs,
        "near_low": low,
        "near_high": high,
        "near_outside": max(low - exact, exact - high, 0.0) / (high - low),
        "d_times_variance_low": low_second,
        "d_times_variance_high": high_second,
        "distance": kolmogorov_distance(c, lambda c: cosine_cdf(jnp.asarray(c, jnp.float32), d))
        * cfg.pairs**0.5,
        "fit_together": fit_together(cfg.width, d),
    }, c


def study(cfg: Config, key) -> Result:
    """All dimensions. `largest_distance` is the largest Kolmogorov distance of the sampled cosines from the exact distribution, times sqrt(pairs);
    `largest_outside` is how far the farthest exact share lies outside of its interval, in widths of it."""
    key_pairs, key_together = jax.random.split(key)
    measured = {
        d: measure(d, key, cfg)
        for d, key in zip(cfg.dims, jax.random.split(key_pairs, len(cfg.dims)), strict=True)
    }
    metrics = {
        f"{name}_d{d}": value
        for d, (row, _) in measured.items()
        for name, value in row.items()
        if name not in ("distance", "near_outside")
    }
    metrics["largest_distance"] = max(row["distance"] for row, _ in measured.values())
    metrics["largest_outside"] = max(row["near_outside"] for row, _ in measured.values())
    metrics["largest_cosine_together"] = float(
        largest_cosine(key_together, max(cfg.dims), cfg.together)
    )
    return Result(metrics, {"orthogonality.png": draw(measured, cfg)})


def draw(measured, cfg: Config):
    """Densities with histograms, the share that is nearly orthogonal, and how many fit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4), layout="constrained")
    densities, share, fit = figure.subplots(1, 3)
    shown = [d for d in measured if d <= 1000][::2] or list(measured)[:1]
    for i, d in enumerate(shown):
        c = np.linspace(-0.999, 0.999, 2001)
        densities.plot(
            c,
            np.exp(cosine_log_density(jnp.asarray(c, jnp.float32), d)),
            color=f"C{i}",
            label=f"d = {d}",
        )
        densities.hist(
            measured[d][1],
            bins=80,
            range=(-1, 1),
            density=True,
            histtype="stepfilled",
            color=f"C{i}",
            alpha=0.25,
        )
    densities.set(title="cosine between two random directions", xlabel="cosine", ylim=(0, 8))
    dims, rows = list(measured), [row for row, _ in measured.values()]
    share.plot(dims, [row["near"] for row in rows], "-", color="C0", label="exact")
    errors = np.abs(
        [
            [row["near_sampled"] - row["near_low"], row["near_high"] - row["near_sampled"]]
            for row in rows
        ]
    ).T
    share.errorbar(
        dims,
        [row["near_sampled"] for row in rows],
        errors,
        fmt="o",
        color="C1",
        ms=4,
        capsize=3,
        label=f"{cfg.pairs} pairs, 95%",
    )
    share.set(
        title=f"share of pairs with |cosine| < {cfg.width:g}", xlabel="dimension d", xscale="log"
    )
    fit.plot(
        dims,
        [row["fit_together"] for row in rows],
        "-o",
        color="C0",
        ms=4,
        label=f"random, all |cosine| < {cfg.width:g}",
    )
    fit.plot(dims, dims, "--", color="gray", label="exactly orthogonal")
    fit.set(
        title="directions that fit into the space together",
        xlabel="dimension d",
        xscale="log",
        yscale="log",
    )
    for ax in figure.axes:
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    return figure
