"""Distances between two sets of points: the Frechet and the sliced Wasserstein distance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def frechet_distance(a_ND: Float[Array, "N D"], b_MD: Float[Array, "M D"]) -> Float[Array, ""]:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2) of means m and covariances S.

    This is the squared 2-Wasserstein distance between the Gaussians with the moments of the sets.
    Covariances are unbiased. Source: Heusel et al. 2017.
    """
    mean_gap = jnp.mean(a_ND, 0) - jnp.mean(b_MD, 0)
    cov_a, cov_b = jnp.cov(a_ND, rowvar=False), jnp.cov(b_MD, rowvar=False)
    values, vectors = jnp.linalg.eigh(cov_a)
    root_a = (vectors * jnp.sqrt(jnp.maximum(values, 0))[None, :]) @ vectors.T
    cross = jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(root_a @ cov_b @ root_a), 0))
    return jnp.sum(jnp.square(mean_gap)) + jnp.trace(cov_a) + jnp.trace(cov_b) - 2 * jnp.sum(cross)


def sliced_wasserstein(
    a_ND: Float[Array, "N D"], b_ND: Float[Array, "N D"], key: jax.Array, directions: int = 128
) -> Float[Array, ""]:
    """Root mean square, over random directions, of the 2-Wasserstein distance of the projections.

    In one dimension, optimal transport pairs the sorted values; the sets must have equal size.
    Source: Rabin et al. 2012; Bonneel et al. 2015.
    """
    theta_DK = jax.random.normal(key, (a_ND.shape[1], directions))
    theta_DK = theta_DK / jnp.linalg.norm(theta_DK, axis=0, keepdims=True)
    gaps_NK = jnp.sort(a_ND @ theta_DK, 0) - jnp.sort(b_ND @ theta_DK, 0)
    return jnp.sqrt(jnp.mean(jnp.square(gaps_NK)))
