"""Orthogonality: angles between random directions, and the number of nearly orthogonal directions.

The cosine c between two independent directions, uniform on the sphere in d dimensions, has

    density  Gamma(d/2) / (sqrt(pi) Gamma((d-1)/2)) (1 - c^2)^((d-3)/2),
    (1 + c)/2 ~ Beta((d-1)/2, (d-1)/2),

mean 0 and variance 1/d. The law is arcsine in the plane, uniform in space, and close to N(0, 1/d)
in many dimensions. P(|c| < w) = I_{w^2}(1/2, (d-1)/2), the regularised incomplete Beta function:
for w = 0.1, 6.4% in the plane and exactly 10% in space.

While n^2 P(|c| >= w) < 1, all of n random directions are likely nearly orthogonal: n grows as
e^(d w^2 / 4). Exactly orthogonal directions number d.

    near_*                    share of pairs with |c| < w: exact, sampled, and its 95% interval
    d_times_variance_*        95% interval of d times the variance of c, which is 1
    largest_outside           largest distance of an exact share from its interval, in widths of the
                              interval
    largest_distance          largest Kolmogorov distance of the sampled cosines from the exact
                              distribution, times sqrt(pairs)
    fit_together              directions that are all within w of orthogonal, by the union bound
    largest_cosine_together   largest |c| between any two directions drawn together

Source: Cai, Fan & Jiang 2013 (arXiv:1306.0256), section 2; Vershynin, High-Dimensional Probability,
section 3.2.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln
from jaxtyping import Array, Float, Num

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.estimates import kolmogorov_distance, mean_interval, share_interval


@checked
class Config:
    dims: tuple[Count, ...] = (2, 3, 5, 10, 30, 100, 300, 1000, 10_000)
    """dimensions d that are sampled, each at least 2"""
    pairs: Count = 20_000
    """pairs of directions drawn in each dimension"""
    width: PositiveShare = 0.1
    """absolute cosine below which two directions count as nearly orthogonal [w]"""
    together: Count = 1000
    """directions drawn at once in the largest dimension"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not self.dims or min(self.dims) < 2 or self.pairs < 2 or self.together < 2:
            raise UserError(
                "dims needs at least one dimension and none below 2, pairs and together at least 2"
            )


def cosine_cdf(c: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(cosine <= c) between random directions in d >= 2 dimensions.

    Equals I_{(1 + c)/2}((d-1)/2, (d-1)/2).
    """
    c = jnp.asarray(c, jnp.float32)
    return 0.5 * (1 + jnp.sign(c) * share_within(jnp.abs(c), d))


def cosine_log_density(c: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """log of the density of the cosine at |c| < 1 in d >= 2 dimensions."""
    return 0.5 * (d - 3) * jnp.log1p(-jnp.square(c)) - betaln(0.5, 0.5 * (d - 1))


def share_within(width: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(|cosine| < width) in d >= 2 dimensions: I_{width^2}(1/2, (d-1)/2)."""
    width = jnp.asarray(width, jnp.float32)
    return betainc(0.5, jnp.float32(0.5 * (d - 1)), jnp.minimum(jnp.square(width), 1))


def share_beyond(width: Num[Array, "*n"], d: int) -> Float[Array, "*n"]:
    """P(|cosine| >= width) in d >= 2 dimensions: I_{1 - width^2}((d-1)/2, 1/2).

    Avoids the cancellation of 1 - P(|cosine| < width).
    """
    width = jnp.asarray(width, jnp.float32)
    return betainc(jnp.float32(0.5 * (d - 1)), 0.5, (1 - width) * (1 + width))


def fit_together(width: float, d: int) -> float:
    """Largest n with n^2 P(|cosine| >= width) <= 1.

    By the union bound, n random directions are all within `width` of orthogonal with probability
    at least 1/2.
    """
    return float(share_beyond(jnp.float32(width), d)) ** -0.5


@functools.partial(jax.jit, static_argnames=("d", "n"))
def cosines(key, d: int, n: int) -> Float[Array, " n"]:
    """Cosines of n pairs of random directions. One pair is in memory at a time."""

    def cosine(key):
        x, y = jax.random.normal(key, (2, d))
        return x @ y / jnp.sqrt((x @ x) * (y @ y))

    return jax.lax.map(cosine, jax.random.split(key, n))


@functools.partial(jax.jit, static_argnames=("d", "n"))
def largest_cosine(key, d: int, n: int) -> Float[Array, ""]:
    """Largest |cosine| between any two of n random directions."""
    x_ND = jax.random.normal(key, (n, d))
    x_ND /= jnp.linalg.norm(x_ND, axis=1, keepdims=True)
    return jnp.max(jnp.abs(x_ND @ x_ND.T) * (1 - jnp.eye(n)))


class Row(NamedTuple):
    """Exact and sampled cosines in one dimension d."""

    cosines: np.ndarray
    """sampled cosines, (pairs,)"""
    near: float
    """exact share of pairs with |cosine| < w"""
    near_sampled: float
    """sampled share of pairs with |cosine| < w"""
    near_interval: tuple[float, float]
    """95% interval of the sampled share"""
    variance_interval: tuple[float, float]
    """95% interval of d times the variance of the cosine"""
    distance: float
    """Kolmogorov distance of the cosines from their law, times sqrt(pairs)"""

    @property
    def outside(self) -> float:
        """Distance of the exact share from its interval, in widths of the interval."""
        low, high = self.near_interval
        return max(low - self.near, self.near - high, 0.0) / (high - low)


def measure(d: int, key, cfg: Config) -> Row:
    """Draws `cfg.pairs` cosines in d dimensions."""
    c = np.asarray(cosines(key, d, cfg.pairs))
    near = int(np.sum(np.abs(c) < cfg.width))
    distance = kolmogorov_distance(c, lambda c: cosine_cdf(jnp.asarray(c, jnp.float32), d))
    return Row(
        cosines=c,
        near=float(share_within(jnp.float32(cfg.width), d)),
        near_sampled=near / cfg.pairs,
        near_interval=share_interval(near, cfg.pairs),
        variance_interval=mean_interval(d * np.square(c, dtype=np.float64)),
        distance=distance * cfg.pairs**0.5,
    )


def pairs(key, cfg: Config) -> Result:
    """Cosines of pairs of directions in all dimensions, beside their exact law."""
    keys = jax.random.split(key, len(cfg.dims))
    rows = {d: measure(d, key, cfg) for d, key in zip(cfg.dims, keys, strict=True)}
    near = {d: row.near_interval for d, row in rows.items()}
    variance = {d: row.variance_interval for d, row in rows.items()}
    metrics = family("near_d{}", {d: row.near for d, row in rows.items()})
    metrics |= family("near_sampled_d{}", {d: row.near_sampled for d, row in rows.items()})
    metrics |= family("near_low_d{}", {d: low for d, (low, _) in near.items()})
    metrics |= family("near_high_d{}", {d: high for d, (_, high) in near.items()})
    metrics |= family("d_times_variance_low_d{}", {d: low for d, (low, _) in variance.items()})
    metrics |= family("d_times_variance_high_d{}", {d: high for d, (_, high) in variance.items()})
    metrics["largest_distance"] = max(row.distance for row in rows.values())
    metrics["largest_outside"] = max(row.outside for row in rows.values())
    return Result(metrics, {"pairs.png": draw_pairs(rows, cfg)})


def together(key, cfg: Config) -> Result:
    """Number of nearly orthogonal directions, and the largest cosine of many drawn at once."""
    fit = {d: fit_together(cfg.width, d) for d in cfg.dims}
    metrics = family("fit_together_d{}", fit)
    largest = largest_cosine(key, max(cfg.dims), cfg.together)
    metrics["largest_cosine_together"] = float(largest)
    return Result(metrics, {"together.png": draw_together(fit, cfg)})


def draw_pairs(rows: dict[int, Row], cfg: Config):
    """Histograms under the exact densities, and the share of nearly orthogonal pairs."""
    figure, (density, share) = figures.panels(2)
    shown = [d for d in rows if d <= 1000][::2] or list(rows)[:1]
    c = np.linspace(-0.999, 0.999, 2001)
    for color, d in zip(figures.COLORS, shown):
        exact = np.exp(cosine_log_density(jnp.asarray(c, jnp.float32), d))
        density.plot(c, exact, color=color, label=f"d = {d}")
        density.hist(rows[d].cosines, bins=80, range=(-1, 1), density=True, color=color, alpha=0.25)
    density.set(title="two random directions", xlabel="cosine", ylabel="density", ylim=(0, 8))
    density.set(xticks=np.linspace(-1, 1, 5))
    sampled = np.array([row.near_sampled for row in rows.values()])
    low, high = np.array([row.near_interval for row in rows.values()]).T
    errors = np.abs([sampled - low, high - sampled])
    label = f"{cfg.pairs} pairs, 95% interval"
    share.plot(list(rows), [row.near for row in rows.values()], label="exact")
    share.errorbar(list(rows), sampled, errors, fmt="o", ms=4, capsize=3, label=label)
    share.set(title=f"|cosine| < {cfg.width:g}", ylabel="share of pairs")
    share.set(xlabel="dimension d", xscale="log")
    return figures.legends(figure)


def draw_together(fit: dict[int, float], cfg: Config):
    """Directions that fit into the space together, over the dimension."""
    figure, (ax,) = figures.panels()
    d = list(fit)
    ax.plot(d, list(fit.values()), "-o", ms=4, label=f"random, all |cosine| < {cfg.width:g}")
    ax.plot(d, d, "--", color="gray", label="exactly orthogonal")
    ax.set(title="directions that fit together", xlabel="dimension d", ylabel="directions")
    ax.set(xscale="log", yscale="log")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Pairs of random directions, and many directions together."""
    return {
        "pairs": functools.partial(pairs, cfg=cfg),
        "together": functools.partial(together, cfg=cfg),
    }
