"""Nearest neighbours of every point of a cloud, exactly: all squared distances, a block of rows in memory at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def checked_cloud(x, least: int = 2) -> np.ndarray:
    """`x` as float32 (N, D). Raises ValueError where it is not a table of at least `least` points, all of them finite, not all of them the same."""
    x = np.asarray(x, np.float32)
    if x.ndim != 2 or len(x) < least or x.shape[1] == 0:
        raise ValueError(
            f"a cloud is an array (points, dimensions) of at least {least} points, got shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("coordinates of points must be finite numbers")
    if (x == x[:1]).all():
        raise ValueError(f"all {len(x)} points of the cloud are the same point")
    return x


def squared_distances(x_MD: Float[Array, "M D"], y_ND: Float[Array, "N D"]) -> Float[Array, "M N"]:
    """|x|^2 + |y|^2 - 2 x.y, never negative. For float32, give points whose mean is near 0: the squares cancel."""
    squares = jnp.sum(jnp.square(x_MD), 1)[:, None] + jnp.sum(jnp.square(y_ND), 1)[None]
    return jnp.maximum(squares - 2 * x_MD @ y_ND.T, 0)


@functools.partial(jax.jit, static_argnames=("k", "block"))
def nearest(
    x_ND: Float[Array, "N D"], k: int, block: int = 512
) -> tuple[Float[Array, "N k"], Int[Array, "N k"]]:
    """Squared distances from each point to its k nearest others, smallest first, and which they are. A point is not its own neighbour, a copy of it is.
    All distances come from products, those of the nearest again from differences, which lose nothing. Raises ValueError unless 1 <= k < N."""
    n = len(x_ND)
    if not 1 <= k < n:
        raise ValueError(f"{n} points have 1 to {n - 1} neighbours each, got k = {k}")
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)

    def rows(i):
        others = jnp.where(
            i[:, None] == jnp.arange(n)[None], jnp.inf, squared_distances(x_ND[i], x_ND)
        )
        _, index = jax.lax.top_k(-others, k)
        distance = jnp.sum(jnp.square(x_ND[i][:, None] - x_ND[index]), -1)
        order = jnp.argsort(distance, 1)
        return jnp.take_along_axis(distance, order, 1), jnp.take_along_axis(index, order, 1)

    blocks = jnp.arange(-(-n // block) * block).reshape(-1, block) % n
    distance, index = jax.lax.map(rows, blocks) if len(blocks) > 1 else rows(jnp.arange(n))
    return distance.reshape(-1, k)[:n], index.reshape(-1, k)[:n]
