"""How well a map of a cloud keeps neighbourhoods.

    trustworthiness  1 - c sum_i sum_{j among the k nearest in the map, not in the cloud} (rank of j seen from i in the cloud - k)
    continuity       the same with map and cloud exchanged: neighbours that were torn apart
    recall           share of the k nearest in the cloud that are among the k nearest in the map

c = 2 / (N k (2N - 3k - 1)) makes the worst case 0. Source: Venna & Kaski 2001.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.maths.clouds.neighbors import nearest, squared_distances


@functools.partial(jax.jit, static_argnames="k")
def trustworthiness(
    x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int
) -> Float[Array, ""]:
    """Of the map y of x, in [0, 1]. Raises ValueError unless 1 <= k < N / 2, where the equation has no meaning."""
    n = len(x_ND)
    if not 1 <= k < n / 2:
        raise ValueError(f"trustworthiness asks for 1 <= k < N / 2 = {n / 2:g}, got {k}")
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)
    d2_NN = squared_distances(x_ND, x_ND).at[jnp.arange(n), jnp.arange(n)].set(jnp.inf)
    rank_NN = jnp.argsort(jnp.argsort(d2_NN, 1), 1) + 1
    seen_Nk = jnp.take_along_axis(rank_NN, nearest(y_NE, k)[1], 1)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * jnp.sum(
        jnp.maximum(seen_Nk - k, 0).astype(jnp.float32)
    )


def continuity(x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int) -> Float[Array, ""]:
    """The trustworthiness of the way back."""
    return trustworthiness(y_NE, x_ND, k)


@functools.partial(jax.jit, static_argnames="k")
def neighbor_recall(
    x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int
) -> Float[Array, ""]:
    """Share of the k nearest neighbours that are kept."""
    before, after = nearest(x_ND, k)[1], nearest(y_NE, k)[1]
    return jnp.mean(jnp.any(before[:, :, None] == after[:, None], 2).astype(jnp.float32))
