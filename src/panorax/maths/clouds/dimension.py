"""How many coordinates a cloud needs near each of its points: three estimates of the intrinsic dimension.

If points are spread evenly near x, on a manifold of dimension d, the number of them within r grows as r^d. So, for the distances T_1 < T_2 < .. of the
nearest neighbours of a point:

    TwoNN           mu = T_2 / T_1 has P(mu <= m) = 1 - m^-d: the slope of -log(1 - F) against log mu is d  (Facco et al. 2017)
    Levina-Bickel   log(T_k / T_j) are exponential with mean 1/d: d(x) = (k - 2) / sum_{j<k} log(T_k / T_j)  (Levina & Bickel 2004); of N points
                    the inverses are averaged, not the estimates: d = N (k - 2) / sum_x sum_j log(T_k / T_j), with k - 1 for k - 2 (MacKay & Ghahramani 2005)
    local PCA       directions that a share of the variance of the k nearest points needs  (Fukunaga & Olsen 1971)

The first looks at the smallest scale that the data have and is moved by noise; the others at that of k neighbours, and by curvature.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.maths.clouds.neighbors import checked_cloud, nearest


def _apart(x, k: int) -> Float[Array, "N D"]:
    """The cloud, for estimates from k neighbours. Raises ValueError for too few points, and where two are the same."""
    x = checked_cloud(x, least=k + 1)
    copies = len(x) - len(np.unique(x, axis=0))
    if copies:
        raise ValueError(
            f"{copies} of the {len(x)} points are copies of others: a neighbour at distance 0 has no dimension, drop them"
        )
    return jnp.asarray(x)


def neighbor_ratios(x_ND) -> Float[Array, " N"]:
    """mu of each point, smallest first. Raises ValueError for fewer than 3 points, points that are not finite, and copies of points."""
    d2, _ = nearest(_apart(x_ND, 2), 2)
    return jnp.sort(jnp.sqrt(d2[:, 1] / d2[:, 0]))


def two_nn(x_ND, kept: float = 0.9) -> float:
    """The slope through 0 of -log(1 - F(mu)) against log mu, F(mu_i) = i / N, over the share `kept` of the points with the smallest mu: the tail
    belongs to points that are not spread evenly. Raises ValueError as `neighbor_ratios` does, and unless 0 < kept < 1."""
    if not 0 < kept < 1:
        raise ValueError(f"the share of points that are kept must be between 0 and 1, got {kept}")
    mu = neighbor_ratios(x_ND)
    n = max(1, int(kept * len(mu)))
    log_mu, survival = jnp.log(mu[:n]), -jnp.log1p(-jnp.arange(1, n + 1) / len(mu))
    return float(log_mu @ survival / (log_mu @ log_mu))


def likelihood_dimensions(x_ND, k: int) -> Float[Array, " k-2"]:
    """The maximum likelihood dimension of all points from their 3, 4, .. k nearest neighbours, inverses averaged. Raises ValueError for k below 3, no
    more than k points, points that are not finite, and copies of points."""
    if k < 3:
        raise ValueError(f"the estimate needs 3 neighbours at least, got k = {k}")
    log_t = 0.5 * jnp.log(nearest(_apart(x_ND, k), k)[0])
    farther = jnp.arange(1, k)
    mean = jnp.mean(
        log_t[:, 1:] - jnp.cumsum(log_t, 1)[:, :-1] / farther[None], 0
    )  # of log(T_k / T_j) over j < k and the points
    return (1 / mean)[1:]


def levina_bickel(x_ND, k: int = 10) -> float:
    """That from k neighbours."""
    return float(likelihood_dimensions(x_ND, k)[-1])


@functools.partial(jax.jit, static_argnames="k")
def neighborhood_spectra(x_ND: Float[Array, "N D"], k: int) -> Float[Array, "N m"]:
    """Variances along the principal directions of each point's k nearest others, largest first, m = min(k, D) of them."""
    _, index = nearest(x_ND, k)

    def spectrum(i):
        around = x_ND[i] - jnp.mean(x_ND[i], 0, keepdims=True)
        return jnp.square(jnp.linalg.svd(around, compute_uv=False)) / k

    return jax.lax.map(spectrum, index, batch_size=64)


def local_pca(x_ND, k: int = 20, share: float = 0.95) -> float:
    """Mean over the points of the smallest number of directions that hold `share` of the variance of their k nearest others. Raises ValueError unless
    0 < share < 1, for k below 2, no more than k points, and points that are not finite."""
    if not 0 < share < 1 or k < 2:
        raise ValueError(f"share must be between 0 and 1 and k at least 2, got {share} and {k}")
    spectra = neighborhood_spectra(jnp.asarray(checked_cloud(x_ND, least=k + 1)), k)
    held = jnp.cumsum(spectra, 1) / jnp.sum(spectra, 1, keepdims=True)
    return float(jnp.mean(jnp.sum(held < share, 1) + 1))


@functools.partial(jax.jit, static_argnames="n")
def swiss_roll(key, n: int, noise: float = 0.0) -> tuple[Float[Array, "n 3"], Float[Array, " n"]]:
    """(t cos t, h, t sin t) / 10 with t from 1.5 pi to 4.5 pi, spread evenly along the spiral, and h from 0 to 2.1, with normal noise added; and t."""
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
    """n points spread evenly over the unit sphere of that dimension, in one more coordinate."""
    x = jax.random.normal(key, (n, dimension + 1))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)
