"""Dot products in many dimensions, and the division by sqrt(d) in attention.

For q, k ~ N(0, I_d), the score s = q . k has mean 0, variance d and excess kurtosis 6 / d. The
softmax of such scores has

    p = softmax(s),     dp/ds = J = diag(p) - p p^T,
    |J|_F^2 = sum p^2 - 2 sum p^3 + (sum p^2)^2.

As the scores grow, p nears a one-hot vector, and J and every gradient through it vanish.
Scores divided by sqrt(d) have variance 1, and the laws of p and J hardly depend on d.

    variance_largest_outside    largest distance of 1 from the 95% interval of var(s) / d, in widths
                                of the interval
    jacobian_plain, _scaled     mean |J|_F of softmax(s) and of softmax(s / sqrt(d))
    saturated_*                 share of queries with one p above 0.99
    entropy_*                   mean entropy of p, in nats
    jacobian_scaled_spread      largest / smallest jacobian_scaled over dimensions of 16 and more

Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.1 and footnote 4.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.estimates import mean_interval
from panorax.ops.distributions import Categorical


@checked
class Config:
    dims: tuple[Count, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    """dimensions d of query and key"""
    keys: Count = 64
    """keys per query [S]"""
    queries: Count = 2000
    """queries drawn in each dimension, each with its own keys"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not self.dims or self.keys < 2 or self.queries < 2:
            raise UserError("dims needs at least one dimension, keys and queries at least 2")


@functools.partial(jax.jit, static_argnames=("d", "n", "keys"))
def scores(key, d: int, n: int, keys: int) -> Float[Array, "n S"]:
    """q . k for n random queries with `keys` random keys each. One query is in memory at a time."""

    def scores_of_query(key):
        key_q, key_k = jax.random.split(key)
        return jax.random.normal(key_k, (keys, d)) @ jax.random.normal(key_q, (d,))

    return jax.lax.map(scores_of_query, jax.random.split(key, n))


def softmax_jacobian(s: Float[Array, " S"]) -> Float[Array, "S S"]:
    """diag(p) - p p^T at p = softmax(s)."""
    p = jax.nn.softmax(s)
    return jnp.diag(p) - jnp.outer(p, p)


def softmax_jacobian_norm(s: Float[Array, "*n S"]) -> Float[Array, "*n"]:
    """Frobenius norm of `softmax_jacobian`, computed without the matrix.

    It is 0 for a one-hot p, and largest, 1/2, if two entries of p are 1/2.
    """
    p = jax.nn.softmax(s)
    square = jnp.sum(p**2, -1)
    return jnp.sqrt(jnp.maximum(square - 2 * jnp.sum(p**3, -1) + square**2, 0))


class Moments(NamedTuple):
    """Moments of the scores in one dimension d."""

    variance_over_d: float
    """sampled variance / d"""
    low: float
    """lower end of the 95% interval of variance / d"""
    high: float
    """upper end of the 95% interval of variance / d"""
    kurtosis: float
    """sampled excess kurtosis"""

    @property
    def outside(self) -> float:
        """Distance of 1 from the interval, in widths of the interval."""
        return max(self.low - 1, 1 - self.high, 0.0) / (self.high - self.low)


class Attention(NamedTuple):
    """Means over the queries for softmax probabilities p."""

    jacobian: float
    """Frobenius norm of dp/ds"""
    saturated: float
    """share of queries with one p above 0.99"""
    entropy: float
    """entropy of p in nats"""


class Row(NamedTuple):
    """Scores in one dimension d, and their softmax."""

    moments: Moments
    plain: Attention
    """softmax(s)"""
    scaled: Attention
    """softmax(s / sqrt(d))"""


def moments(s: Float[Array, "n S"], d: int) -> Moments:
    """Moments of q . k; variance and interval use one score per query, which are independent."""
    s = np.asarray(s, np.float64)
    square = s[:, 0] ** 2 / d
    return Moments(float(np.mean(square)), *mean_interval(square), float(np.mean(s**4) / d**2 - 3))


def attend(s: Float[Array, "n S"]) -> Attention:
    """Jacobian, saturation and entropy of the softmax of each query."""
    return Attention(
        jacobian=float(jnp.mean(softmax_jacobian_norm(s))),
        saturated=float(jnp.mean(jnp.max(jax.nn.softmax(s), -1) > 0.99)),
        entropy=float(jnp.mean(Categorical(s).entropy())),
    )


def measure(d: int, key, cfg: Config) -> Row:
    """Draws the scores in d dimensions; plain and scaled softmax share them."""
    s = scores(key, d, cfg.queries, cfg.keys)
    return Row(moments(s, d), attend(s), attend(s / d**0.5))


def dimensions(key, cfg: Config) -> Result:
    """Scores and their softmax in all dimensions."""
    keys = jax.random.split(key, len(cfg.dims))
    rows = {d: measure(d, key, cfg) for d, key in zip(cfg.dims, keys, strict=True)}
    scaled = [row.scaled.jacobian for d, row in rows.items() if d >= 16] or [1.0]
    metrics = moment_metrics({d: row.moments for d, row in rows.items()})
    metrics |= attention_metrics(rows)
    metrics["jacobian_scaled_spread"] = max(scaled) / min(scaled)
    return Result(metrics, {"dot_product.png": draw(rows, cfg)})


def moment_metrics(rows: dict[int, Moments]) -> dict[str, float]:
    """Moments of the scores by dimension, beside the exact kurtosis 6 / d."""
    metrics = family("variance_over_d_d{}", {d: row.variance_over_d for d, row in rows.items()})
    metrics |= family("variance_low_d{}", {d: row.low for d, row in rows.items()})
    metrics |= family("variance_high_d{}", {d: row.high for d, row in rows.items()})
    metrics |= family("excess_kurtosis_d{}", {d: row.kurtosis for d, row in rows.items()})
    metrics |= family("excess_kurtosis_exact_d{}", {d: 6 / d for d in rows})
    metrics["variance_largest_outside"] = max(row.outside for row in rows.values())
    return metrics


def attention_metrics(rows: dict[int, Row]) -> dict[str, float]:
    """Means over the queries, plain and scaled, by dimension."""
    both = {("plain", d): row.plain for d, row in rows.items()}
    both |= {("scaled", d): row.scaled for d, row in rows.items()}
    metrics = family("jacobian_{}_d{}", {name: row.jacobian for name, row in both.items()})
    metrics |= family("saturated_{}_d{}", {name: row.saturated for name, row in both.items()})
    metrics |= family("entropy_{}_d{}", {name: row.entropy for name, row in both.items()})
    return metrics


def draw(rows: dict[int, Row], cfg: Config):
    """Variance of the scores, Jacobian and saturation over the dimension."""
    figure, (variance, jacobian, saturation) = figures.panels(3)
    d = np.array(list(rows))
    middle, low, high = np.array([row.moments[:3] for row in rows.values()]).T * d
    variance.plot(d, d, label="exact: d")
    variance.errorbar(
        d,
        middle,
        [middle - low, high - middle],
        fmt="o",
        ms=4,
        capsize=3,
        label=f"{cfg.queries} scores, 95% interval",
    )
    variance.set(title="scores q . k", ylabel="variance", yscale="log")
    curves = {
        "softmax(s)": [row.plain for row in rows.values()],
        r"softmax(s / $\sqrt{d}$)": [row.scaled for row in rows.values()],
    }
    for label, curve in curves.items():
        jacobian.plot(d, [row.jacobian for row in curve], "-o", ms=4, label=label)
        saturation.plot(d, [row.saturated for row in curve], "-o", ms=4, label=label)
    jacobian.set(title="Jacobian of the softmax", ylabel="mean Frobenius norm", ylim=(0, None))
    saturation.set(title="one key above 99%", ylabel="share of queries", ylim=(-0.02, 1))
    for ax in figure.axes:
        ax.set(xlabel="dimension d", xscale="log")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """One part: scores and their softmax in all dimensions."""
    return {"dimensions": functools.partial(dimensions, cfg=cfg)}
