"""Mixed precision: narrow factors, wide sums, as tensor cores multiply."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family

SUMS = ("float32", "bfloat16")


def sums(key, lengths: tuple[int, ...], products: int) -> Result:
    """Error of dot products of bfloat16 vectors by length, with sums in float32 and in bfloat16.

    The factors are uniform in [0, 1), so that the sum grows with the length. The error is relative
    to the exact dot product of the rounded factors, the root mean square over `products` of them.
    """
    errors = {dtype: [] for dtype in SUMS}
    for i, length in enumerate(lengths):
        a, b = jax.random.uniform(jax.random.fold_in(key, i), (2, products, length)).astype(
            jnp.bfloat16
        )
        exact = np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64), 1)
        for dtype in SUMS:
            error = np.asarray(dot_products(a, b, dtype), np.float64) / exact - 1
            errors[dtype].append(float(np.sqrt(np.mean(error**2))))
    longest = {dtype: of_length[-1] for dtype, of_length in errors.items()}
    metrics = family("relative_error_sums_{}", longest)
    metrics["error_bfloat16_over_float32"] = longest["bfloat16"] / max(longest["float32"], 2**-24)
    return Result(metrics, {"precision.png": draw_sums(lengths, errors)})


def dot_products(
    a_NK: Float[Array, "N K"], b_NK: Float[Array, "N K"], dtype: str
) -> Float[Array, " N"]:
    """Sum over K of a b, one after another, with the sum and the products in `dtype`."""
    add = lambda total, pair: (total + pair[0].astype(dtype) * pair[1].astype(dtype), None)
    zero = jnp.zeros(a_NK.shape[0], dtype)
    return jax.lax.scan(add, zero, (a_NK.T, b_NK.T))[0]


def draw_sums(lengths, errors):
    figure, (ax,) = figures.panels()
    for dtype, of_length in errors.items():
        ax.loglog(lengths, of_length, "o-", label=f"sums in {dtype}")
    ax.set(
        title="Dot products of bfloat16 vectors",
        xlabel="length of the vectors",
        ylabel="relative error",
    )
    return figures.legends(figure)
