"""Intrinsic dimension of a point cloud: three estimators.

If points are uniform near x on a manifold of dimension d, the number of points within r grows as
r^d. For the distances T_1 < T_2 < .. of the nearest neighbours of a point:

    TwoNN           mu = T_2 / T_1 has P(mu <= m) = 1 - m^-d; d is the slope of -log(1 - F) against
                    log mu  (Facco et al. 2017)
    Levina-Bickel   log(T_k / T_j) are exponential with mean 1/d, so
                    d(x) = (k - 2) / sum_{j<k} log(T_k / T_j)  (Levina & Bickel 2004);
                    over N points the inverses are averaged, not the estimates, with k - 1 in place
                    of k - 2: d = N (k - 1) / sum_x sum_{j<k} log(T_k / T_j)
                    (MacKay & Ghahramani 2005)
    local PCA       number of directions that explain a given share of the variance of the k nearest
                    points  (Fukunaga & Olsen 1971)

TwoNN measures the smallest scale of the data and is sensitive to noise. The other two measure the
scale of k neighbours and are sensitive to curvature.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.maths.clouds.neighbors import checked_cloud, nearest


def _apart(x, k: int) -> Float[Array, "N D"]:
    """The cloud as an array. Raises ValueError for k points or fewer, and for equal points."""
    x = checked_cloud(x, least=k + 1)
    copies = len(x) - len(np.unique(x, axis=0))
    if copies:
        raise ValueError(
            f"{copies} of the {len(x)} points are copies of others: drop them, "
            "the estimates need positive distances"
        )
    return jnp.asarray(x)


def neighbor_ratios(x_ND) -> Float[Array, " N"]:
    """mu = T_2 / T_1 of all points, ascending.

    Raises ValueError for fewer than 3 points, points that are not finite, and equal points.
    """
    d2, _ = nearest(_apart(x_ND, 2), 2)
    return jnp.sort(jnp.sqrt(d2[:, 1] / d2[:, 0]))


def two_nn(x_ND, kept: float = 0.9) -> float:
    """TwoNN: the slope through 0 of -log(1 - F(mu)) against log mu, with F(mu_i) = i / N.

    The fit uses the share `kept` of the points with the smallest mu; points in the tail violate the
    uniformity assumption. Raises the errors of `neighbor_ratios`, and ValueError unless
    0 < kept < 1.
    """
    if not 0 < kept < 1:
        raise ValueError(f"kept must lie between 0 and 1, got {kept}")
    mu = neighbor_ratios(x_ND)
    n = max(1, int(kept * len(mu)))
    log_mu, survival = jnp.log(mu[:n]), -jnp.log1p(-jnp.arange(1, n + 1) / len(mu))
    return float(log_mu @ survival / (log_mu @ log_mu))


def likelihood_dimensions(x_ND, k: int) -> Float[Array, " k-2"]:
    """Levina-Bickel dimension from the 3, 4, .. k nearest neighbours, with averaged inverses.

    Raises ValueError for k below 3, k points or fewer, points that are not finite, and equal
    points.
    """
    if k < 3:
        raise ValueError(f"k must be at least 3, got {k}")
    log_t = 0.5 * jnp.log(nearest(_apart(x_ND, k), k)[0])
    # mean of log(T_k / T_j) over j < k and over the points
    mean = jnp.mean(log_t[:, 1:] - jnp.cumsum(log_t, 1)[:, :-1] / jnp.arange(1, k)[None], 0)
    return (1 / mean)[1:]


def levina_bickel(x_ND, k: int = 10) -> float:
    """Levina-Bickel dimension from k neighbours; raises the errors of `likelihood_dimensions`."""
    return float(likelihood_dimensions(x_ND, k)[-1])


@functools.partial(jax.jit, static_argnames="k")
def neighborhood_spectra(x_ND: Float[Array, "N D"], k: int) -> Float[Array, "N m"]:
    """Principal variances of the k nearest neighbours of each point, descending, m = min(k, D)."""
    _, index = nearest(x_ND, k)

    def spectrum(i):
        centred = x_ND[i] - jnp.mean(x_ND[i], 0, keepdims=True)
        return jnp.square(jnp.linalg.svd(centred, compute_uv=False)) / k

    return jax.lax.map(spectrum, index, batch_size=64)


def local_pca(x_ND, k: int = 20, share: float = 0.95) -> float:
    """Mean number of principal directions that explain `share` of the variance of k neighbours.

    Raises ValueError unless 0 < share < 1, for k below 2, k points or fewer, and points that are
    not finite.
    """
    if not 0 < share < 1 or k < 2:
        raise ValueError(f"share must be between 0 and 1 and k at least 2, got {share} and {k}")
    spectra = neighborhood_spectra(jnp.asarray(checked_cloud(x_ND, least=k + 1)), k)
    explained = jnp.cumsum(spectra, 1) / jnp.sum(spectra, 1, keepdims=True)
    return float(jnp.mean(jnp.sum(explained < share, 1) + 1))


@functools.partial(jax.jit, static_argnames="n")
def swiss_roll(key, n: int, noise: float = 0.0) -> tuple[Float[Array, "n 3"], Float[Array, " n"]]:
    """Draws n points of the Swiss roll and their spiral parameters t.

    The points are (t cos t / 10, h, t sin t / 10) plus normal noise of deviation `noise`. t in
    [1.5 pi, 4.5 pi] is uniform in arc length, h is uniform in [0, 2.1].
    """
    key_t, key_h, key_noise = jax.random.split(key, 3)
    arc = lambda t: 0.5 * (t * jnp.sqrt(1 + t**2) + jnp.arcsinh(t))
    grid = jnp.linspace(1.5 * jnp.pi, 4.5 * jnp.pi, 1000)
    low, high = arc(grid[0]), arc(grid[-1])
    t = jnp.interp(low + (high - low) * jax.random.uniform(key_t, (n,)), arc(grid), grid)
    x = jnp.stack(
        [t * jnp.cos(t) / 10, 2.1 * jax.random.uniform(key_h, (n,)), t * jnp.sin(t) / 10], 1
    )
    return x + noise * jax.random.normal(key_noise, (n, 3)), t


@functools.partial(jax.jit, static_argnames=("n", "dimension"))
def sphere(key, n: int, dimension: int) -> Float[Array, "n D"]:
    """Draws n uniform points on the unit sphere of `dimension` d, in d + 1 coordinates."""
    x = jax.random.normal(key, (n, dimension + 1))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)
