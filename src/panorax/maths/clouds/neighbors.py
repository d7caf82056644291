"""Exact nearest neighbours of all points of a cloud, from all pairwise distances in blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def checked_cloud(x, least: int = 2) -> np.ndarray:
    """`x` as float32 of shape (N, D).

    Raises ValueError unless it has two axes, at least `least` points, finite values, and two
    distinct points.
    """
    x = np.asarray(x, np.float32)
    if x.ndim != 2 or len(x) < least or x.shape[1] == 0:
        raise ValueError(
            f"a cloud must have shape (N, D) with at least {least} points, got {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("coordinates must be finite numbers")
    if (x == x[:1]).all():
        raise ValueError(f"all {len(x)} points of the cloud are the same point")
    return x


def squared_distances(x_MD: Float[Array, "M D"], y_ND: Float[Array, "N D"]) -> Float[Array, "M N"]:
    """max(|x|^2 + |y|^2 - 2 x.y, 0) for all pairs.

    Centre float32 points first: a large mean cancels badly.
    """
    squares = jnp.sum(jnp.square(x_MD), 1)[:, None] + jnp.sum(jnp.square(y_ND), 1)[None]
    return jnp.maximum(squares - 2 * x_MD @ y_ND.T, 0)


@functools.partial(jax.jit, static_argnames=("k", "block"))
def nearest(
    x_ND: Float[Array, "N D"], k: int, block: int = 512
) -> tuple[Float[Array, "N k"], Int[Array, "N k"]]:
    """Squared distances to the k nearest neighbours of each point, ascending, and their indices.

    A point is not its own neighbour, but a copy of it is. `block` rows of distances are in memory
    at a time. Neighbours are selected from products; their distances are recomputed from
    differences, without cancellation. Raises ValueError unless 1 <= k < N.
    """
    n = len(x_ND)
    if not 1 <= k < n:
        raise ValueError(f"k must lie between 1 and {n - 1} for {n} points, got {k}")
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)

    def rows(i):
        d2 = jnp.where(i[:, None] == jnp.arange(n)[None], jnp.inf, squared_distances(x_ND[i], x_ND))
        _, index = jax.lax.top_k(-d2, k)
        distance = jnp.sum(jnp.square(x_ND[i][:, None] - x_ND[index]), -1)
        order = jnp.argsort(distance, 1)
        return jnp.take_along_axis(distance, order, 1), jnp.take_along_axis(index, order, 1)

    blocks = jnp.arange(-(-n // block) * block).reshape(-1, block) % n
    distance, index = jax.lax.map(rows, blocks) if len(blocks) > 1 else rows(jnp.arange(n))
    return distance.reshape(-1, k)[:n], index.reshape(-1, k)[:n]
