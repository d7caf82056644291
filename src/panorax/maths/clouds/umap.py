"""UMAP: an embedding in the plane that preserves the fuzzy neighbourhood graph of a point cloud.

    membership of j in the neighbourhood of i    exp(-max(d_ij - rho_i, 0) / sigma_i)
        rho_i is the distance to the nearest point; sigma_i makes k - 1 memberships sum to log2 k
    symmetric graph (probabilistic sum)          v_ij = a + b - a b
    similarity in the plane                      w_ij = 1 / (1 + a |y_i - y_j|^2b)
        a and b fit 1 up to min_dist, and exp(min_dist - d) beyond
    loss                                         - sum v_ij log w_ij + (1 - v_ij) log(1 - w_ij)

The second term sums over all pairs. Negative sampling estimates it from a few random points for
each edge, and edges are drawn in proportion to v. The start is the spectral embedding of the graph:
the lowest eigenvectors of its normalised Laplacian.
Source: McInnes, Healy & Melville 2018, arXiv:1802.03426.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from panorax.maths.clouds.neighbors import checked_cloud, nearest

HALVINGS = 50
"""bisection steps for log sigma"""
FAR = 4.0
"""largest move of a point along an axis by one pair, in units of the learning rate"""
NEAR = 1e-3
"""constant added to the squared distance in the repulsion, which keeps it finite"""


def memberships(d_NK: Float[Array, "N K"]) -> Float[Array, "N K"]:
    """Memberships of the K = k - 1 nearest neighbours of each point, from ascending distances.

    k counts the point itself. Bisection finds sigma, which is at least 1e-3 of the mean distance.
    """
    positive = jnp.where(d_NK > 0, d_NK, jnp.inf)
    rho = jnp.min(positive, 1)
    beyond = jnp.maximum(d_NK - jnp.where(jnp.isfinite(rho), rho, 0)[:, None], 0)
    target = jnp.log2(d_NK.shape[1] + 1.0)
    scale = jnp.maximum(jnp.max(beyond, 1), jnp.finfo(d_NK.dtype).tiny)

    def halve(interval, _):
        low, high = interval
        middle = (low + high) / 2
        wide = jnp.sum(jnp.exp(-beyond / (scale * jnp.exp(middle))[:, None]), 1) > target
        return (jnp.where(wide, low, middle), jnp.where(wide, middle, high)), None

    ends = (jnp.full(len(d_NK), -20.0, d_NK.dtype), jnp.full(len(d_NK), 20.0, d_NK.dtype))
    (low, high), _ = jax.lax.scan(halve, ends, length=HALVINGS)
    least = 1e-3 * jnp.where(
        jnp.isfinite(rho), jnp.sum(d_NK, 1) / (d_NK.shape[1] + 1), jnp.mean(d_NK)
    )
    sigma = jnp.maximum(scale * jnp.exp((low + high) / 2), least)
    return jnp.exp(-beyond / sigma[:, None])


def fuzzy_graph(x_ND: Float[Array, "N D"], neighbors: int):
    """v as a symmetric scipy.sparse matrix (N, N); `neighbors` counts the point itself."""
    from scipy.sparse import csr_array

    d2_NK, index_NK = nearest(x_ND, neighbors - 1)
    n, k = index_NK.shape
    values = np.asarray(jax.jit(memberships)(jnp.sqrt(d2_NK)))
    one_way = csr_array(
        (values.ravel(), np.asarray(index_NK).ravel(), np.arange(0, n * k + 1, k)), shape=(n, n)
    )
    return (one_way + one_way.T - one_way * one_way.T).tocsr()


def curve(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """a and b by least squares at 300 distances from 0 to 3 spreads.

    The target is 1 up to min_dist and exp(-(d - min_dist) / spread) beyond.
    """
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3 * spread, 300)
    target = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist) / spread))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, target)
    return float(a), float(b)


def spectral_start(graph, key) -> Float[Array, "N 2"]:
    """Second and third eigenvector of D^-1/2 V D^-1/2 as columns, largest |entry| 10, noise 1e-4.

    The first eigenvector is sqrt(degree).
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    root = np.sqrt(np.asarray(graph.sum(1)).ravel())
    first = root / np.linalg.norm(root)
    product = lambda x: (graph @ (x.ravel() / root)) / root - first * (first @ x.ravel())
    operator = LinearOperator(graph.shape, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).normal(size=len(root))
    _, vectors = eigsh(operator, k=2, which="LA", v0=start, tol=1e-4, maxiter=20 * len(root))
    vectors = vectors[:, ::-1]
    y_N2 = jnp.asarray(10 * vectors / np.abs(vectors).max(), jnp.float32)
    return y_N2 + 1e-4 * jax.random.normal(key, y_N2.shape)


def attraction(d2: Float[Array, "*n"], a: float, b: float) -> Float[Array, "*n"]:
    """Factor of y_i - y_j in the negative gradient of - log w_ij at squared distance d2; 0 at 0."""
    safe = jnp.where(d2 > 0, d2, 1)
    return jnp.where(d2 > 0, -2 * a * b * safe ** (b - 1) / (1 + a * safe**b), 0)


def repulsion(d2: Float[Array, "*n"], a: float, b: float) -> Float[Array, "*n"]:
    """Factor of y_i - y_j in the negative gradient of - log(1 - w_ij) at squared distance d2.

    NEAR is added to the squared distance in the denominator.
    """
    return 2 * b / ((NEAR + d2) * (1 + a * d2**b))


def padded_rows(graph) -> tuple[Int[Array, "N K"], Float[Array, "N K"], Float[Array, " N"]]:
    """Neighbours of each point padded to the largest number, cumulative shares of v, and degrees.

    The degree of a point is the sum of its v.
    """
    count = np.diff(graph.indptr)
    filled = np.arange(count.max())[None] < count[:, None]
    tail, v = np.zeros(filled.shape, np.int32), np.zeros(filled.shape)
    tail[filled], v[filled] = graph.indices, graph.data
    degree = v.sum(1)
    return (
        jnp.asarray(tail),
        jnp.asarray(np.cumsum(v, 1) / degree[:, None], jnp.float32),
        jnp.asarray(degree, jnp.float32),
    )


@functools.partial(jax.jit, static_argnames=("steps", "negatives"))
def draw_apart(
    y_N2: Float[Array, "N 2"],
    tail_NK: Int[Array, "N K"],
    share_NK: Float[Array, "N K"],
    degree_N: Float[Array, " N"],
    ab: tuple[float, float],
    key,
    steps: int,
    negatives: int = 5,
) -> Float[Array, "N 2"]:
    """Runs `steps` of stochastic gradient descent on rows from `padded_rows`.

    In each step every point moves towards a neighbour drawn in proportion to v, and away from
    `negatives` other points. The other points are the points rotated by a random offset, which
    draws each with equal probability and reads memory in order. Moves scale with the degree of the
    point. The attraction counts twice, because UMAP also moves the neighbour along each edge. The
    learning rate falls linearly from 1 to 0. ab: the parameters (a, b) of the similarity.
    """
    n = len(y_N2)
    clipped = lambda factor, difference: jnp.clip(factor[:, None] * difference, -FAR, FAR)

    def step(y, i):
        key_edge, key_negative = jax.random.split(jax.random.fold_in(key, i))
        slot = jnp.sum(jax.random.uniform(key_edge, (n, 1)) >= share_NK, 1)
        along = y - y[jnp.take_along_axis(tail_NK, slot[:, None], 1)[:, 0]]
        move = 2 * clipped(attraction(jnp.sum(jnp.square(along), 1), *ab), along)
        twice = jnp.concatenate([y, y])
        for rotation in jax.random.randint(key_negative, (negatives,), 1, n):
            away = y - jax.lax.dynamic_slice_in_dim(twice, rotation, n)
            move += clipped(repulsion(jnp.sum(jnp.square(away), 1), *ab), away)
        return y + (1 - i / steps) * (degree_N / jnp.max(degree_N))[:, None] * move, None

    return jax.lax.scan(step, y_N2, jnp.arange(steps))[0]


def umap(
    x_ND: Float[Array, "N D"],
    key,
    neighbors: int = 15,
    min_dist: float = 0.1,
    epochs: int = 500,
    negatives: int = 5,
) -> Float[Array, "N 2"]:
    """UMAP embedding of the cloud in the plane.

    An epoch has (largest degree / largest v) steps, which draw the heaviest edge once on average.
    Raises ValueError unless 2 <= neighbors <= N, for min_dist outside [0, 3), points that are not
    finite, fewer than 4 points, or equal points only.
    """
    x_ND = checked_cloud(x_ND, least=4)
    n = len(x_ND)
    if not 2 <= neighbors <= n:
        raise ValueError(f"neighbors must lie between 2 and {n} for {n} points, got {neighbors}")
    if not 0 <= min_dist < 3:
        raise ValueError(f"min_dist must be in [0, 3), got {min_dist}")
    graph = fuzzy_graph(jnp.asarray(x_ND), neighbors)
    key_start, key_draw = jax.random.split(key)
    tail, share, degree = padded_rows(graph)
    steps = max(1, round(epochs * float(degree.max()) / graph.data.max()))
    start, ab = spectral_start(graph, key_start), curve(min_dist)
    return draw_apart(start, tail, share, degree, ab, key_draw, steps, negatives)
