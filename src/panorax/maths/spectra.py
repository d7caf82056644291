"""Outlier eigenvalues, and the overlap of eigenspaces."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def outliers(eigenvalues: np.ndarray, most: int = 20) -> int:
    """Number of eigenvalues before the largest gap: the k in 2 .. `most` of largest l_k / l_{k+1}.

    eigenvalues: eigenvalues l_k in falling order; only positive ones count. Raises ValueError if
    they do not fall or fewer than 3 are positive.
    """
    values = np.asarray(eigenvalues, np.float64)
    if not (np.diff(values) <= 0).all() or np.sum(values > 0) < 3:
        raise ValueError("eigenvalues must fall, and at least 3 must be positive")
    values = values[values > 0][: most + 1]
    return int(np.argmax(values[1:-1] / values[2:])) + 2


def subspace_overlap(a_KN: Float[Array, "K N"], b_KN: Float[Array, "K N"]) -> Float[Array, ""]:
    """|P_a P_b|_F^2 / K for the projections P on the spans of orthonormal rows.

    1 for equal spaces, 0 for orthogonal ones, K/N on average for random ones.
    Source: Gur-Ari, Roberts & Dyer 2018 (arXiv:1812.04754).
    """
    return jnp.sum(jnp.square(a_KN @ b_KN.T)) / a_KN.shape[0]
