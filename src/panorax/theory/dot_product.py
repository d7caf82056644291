"""Dot products in many dimensions, and why attention divides them by sqrt(d).

For q, k ~ N(0, I_d), the score s = q . k has mean 0, variance d and excess kurtosis 6 / d: near N(0, d) for large d. A softmax over such scores

    p = softmax(s),      dp/ds = J = diag(p) - p p^T,      |J|_F^2 = sum p^2 - 2 sum p^3 + (sum p^2)^2

nears a one-hot choice as the scores grow, where J vanishes and with it every gradient that passes through. Divided by sqrt(d) scores have variance 1,
and p and J are the same in every dimension. Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.1 and its footnote 4.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.maths.estimates import mean_interval
from panorax.ops.distributions import Categorical


@checked
class Config:
    dims: tuple[Count, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    """dimensions of query and key"""
    keys: Count = 64
    """that a query attends to"""
    queries: Count = 2000
    """drawn in each dimension, each with keys of its own"""
    seed: Whole = 0

    def __post_init__(self):
        if not self.dims or self.keys < 2 or self.queries < 2:
            raise UserError(
                "dims needs one dimension at least, keys and queries must be at least 2"
            )


@functools.partial(jax.jit, static_argnames=("d", "n", "keys"))
def scores(key, d: int, n: int, keys: int) -> Float[Array, "n S"]:
    """q . k for n random queries and `keys` random keys of each, one query in memory at a time."""

    def one(key):
        key_q, key_k = jax.random.split(key)
        return jax.random.normal(key_k, (keys, d)) @ jax.random.normal(key_q, (d,))

    return jax.lax.map(one, jax.random.split(key, n))


def softmax_jacobian(s: Float[Array, " S"]) -> Float[Array, "S S"]:
    """diag(p) - p p^T at p = softmax(s)."""
    p = jax.nn.softmax(s)
    return jnp.diag(p) - jnp.outer(p, p)


def softmax_jacobian_norm(s: Float[Array, "*n S"]) -> Float[Array, "*n"]:
    """Its Frobenius norm, without the matrix: 0 for a one-hot p, and largest, 1/2, where two scores share everything."""
    p = jax.nn.softmax(s)
    square = jnp.sum(p**2, -1)
    return jnp.sqrt(jnp.maximum(square - 2 * jnp.sum(p**3, -1) + square**2, 0))


def measure(d: int, key, cfg: Config) -> dict[str, float]:
    """Moments of the scores with their exact values, and the softmax with and without the division."""
    s = scores(key, d, cfg.queries, cfg.keys)
    first = np.asarray(s[:, 0], np.float64)  # one score a query: they are independent
    low, high = mean_interval(first**2 / d)
    row = {
        "variance_over_d": float(np.mean(first**2) / d),
        "variance_low": low,
        "variance_high": high,
    }
    row["variance_outside"] = max(low - 1, 1 - high, 0.0) / (high - low)
    row["excess_kurtosis"] = float(np.mean(np.square(np.asarray(s, np.float64) ** 2)) / d**2 - 3)
    row["excess_kurtosis_exact"] = 6 / d
    for name, scaled in (("plain", s), ("scaled", s / d**0.5)):
        row[f"jacobian_{name}"] = float(jnp.mean(softmax_jacobian_norm(scaled)))
        row[f"saturated_{name}"] = float(jnp.mean(jnp.max(jax.nn.softmax(scaled), -1) > 0.99))
        row[f"entropy_{name}"] = float(jnp.mean(Categorical(scaled).entropy()))
    return row


def study(cfg: Config, key) -> Result:
    """All dimensions; `variance_largest_outside` is how far 1 lies outside of an interval of var / d, in widths of it; `jacobian_scaled_spread` is the
    largest over the smallest mean norm of the Jacobian of the scaled softmax, over dimensions of 16 and more."""
    rows = {
        d: measure(d, key, cfg)
        for d, key in zip(cfg.dims, jax.random.split(key, len(cfg.dims)), strict=True)
    }
    metrics = {
        f"{name}_d{d}": value
        for d, row in rows.items()
        for name, value in row.items()
        if name != "variance_outside"
    }
    metrics["variance_largest_outside"] = max(row["variance_outside"] for row in rows.values())
    many = [row["jacobian_scaled"] for d, row in rows.items() if d >= 16] or [1.0]
    metrics["jacobian_scaled_spread"] = max(many) / min(many)
    return Result(metrics, {"dot_product.png": draw(rows, cfg)})


def draw(rows: dict[int, dict[str, float]], cfg: Config):
    """Variance, Jacobian and entropy over the dimension."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4), layout="constrained")
    variance, jacobian, choice = figure.subplots(1, 3)
    d = np.array(list(rows))
    values = (
        np.array(
            [
                [row[f"variance{part}"] for row in rows.values()]
                for part in ("_over_d", "_low", "_high")
            ]
        )
        * d
    )
    variance.plot(d, d, "-", color="C0", label="d")
    variance.errorbar(
        d,
        values[0],
        [values[0] - values[1], values[2] - values[0]],
        fmt="o",
        color="C1",
        ms=4,
        capsize=3,
        label=f"{cfg.queries} scores, 95%",
    )
    variance.set(title="variance of q . k", yscale="log")
    for name, color in (("plain", "C3"), ("scaled", "C2")):
        label = "softmax(s)" if name == "plain" else r"softmax(s / $\sqrt{d}$)"
        jacobian.plot(
            d,
            [row[f"jacobian_{name}"] for row in rows.values()],
            "-o",
            color=color,
            ms=4,
            label=label,
        )
        choice.plot(
            d,
            [row[f"saturated_{name}"] for row in rows.values()],
            "-o",
            color=color,
            ms=4,
            label=label,
        )
    jacobian.set(title="mean norm of the softmax's Jacobian", ylim=(0, None))
    choice.set(title="share of queries with one key above 99%", ylim=(-0.02, 1))
    for ax in figure.axes:
        ax.set(xlabel="dimension d", xscale="log")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    return figure
