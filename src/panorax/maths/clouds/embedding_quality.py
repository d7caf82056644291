"""Neighbourhood preservation of an embedding.

    trustworthiness  1 - c sum_i sum_j (rank of j as a neighbour of i in the cloud - k),
                     j among the k nearest of i in the embedding but not in the cloud
    continuity       trustworthiness with cloud and embedding exchanged
    recall           share of the k nearest neighbours in the cloud that are among the k nearest in
                     the embedding

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
    """Trustworthiness of the embedding y of x, in [0, 1].

    Raises ValueError unless 1 <= k < N / 2.
    """
    n = len(x_ND)
    if not 1 <= k < n / 2:
        raise ValueError(f"trustworthiness needs 1 <= k < N / 2 = {n / 2:g}, got {k}")
    x_ND = x_ND - jnp.mean(x_ND, 0, keepdims=True)
    d2_NN = squared_distances(x_ND, x_ND).at[jnp.arange(n), jnp.arange(n)].set(jnp.inf)
    rank_NN = jnp.argsort(jnp.argsort(d2_NN, 1), 1) + 1
    rank_Nk = jnp.take_along_axis(rank_NN, nearest(y_NE, k)[1], 1)
    excess = jnp.sum(jnp.maximum(rank_Nk - k, 0).astype(jnp.float32))
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * excess


def continuity(x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int) -> Float[Array, ""]:
    """Continuity of the embedding y of x, in [0, 1].

    Raises ValueError unless 1 <= k < N / 2.
    """
    return trustworthiness(y_NE, x_ND, k)


@functools.partial(jax.jit, static_argnames="k")
def neighbor_recall(
    x_ND: Float[Array, "N D"], y_NE: Float[Array, "N E"], k: int
) -> Float[Array, ""]:
    """Share of the k nearest neighbours in x that are among the k nearest in y."""
    of_x, of_y = nearest(x_ND, k)[1], nearest(y_NE, k)[1]
    return jnp.mean(jnp.any(of_x[:, :, None] == of_y[:, None], 2).astype(jnp.float32))
