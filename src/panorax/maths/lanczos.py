"""The spectrum of a symmetric matrix of which only products are known: Lanczos, and what stochastic quadrature makes of it.

From a unit vector v_1 the method builds an orthonormal basis V of span{v_1, A v_1, A^2 v_1, ..} in which A is tridiagonal:

    A V_K = V_K T_K + b_K v_{K+1} e_K^T,     w_k = A v_k - a_k v_k - b_{k-1} v_{k-1},     T_K has a_k = v_k . A v_k on its diagonal, b_k = |w_k| beside it.

The eigenvalues t_i of T_K (Ritz values) approach those of A from the ends inwards: one of A is within b_K |s_Ki| of t_i, s_i the eigenvector of T_K.
Rounding would let the v_k drift back to the first eigenvectors found, so w_k is made orthogonal to all of them, twice ("twice is enough", Parlett).
Where w_k vanishes, V_k spans an invariant subspace: b_k = 0, and the method goes on from another direction orthogonal to it.

The t_i with the weights s_1i^2 are the Gauss quadrature of the measure that puts (v_1 . q_j)^2 on each eigenvalue of A (q_j its eigenvector), exact
for polynomials of degree 2K - 1. For v_1 a random probe with E v_1 v_1^T = I / n that measure is, in the mean, the spectral density: mass 1/n on
each eigenvalue. Source: Golub & Meurant, Matrices, Moments and Quadrature, chapters 4, 6 and 11; Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159);
Hutchinson 1990.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from panorax.core import struct

Probe = Literal["rademacher", "gaussian"]


@struct.dataclass
class Tridiagonal:
    """T_K and V_K of `lanczos`: `off[k]` couples steps k and k + 1, the last one the basis to what lies outside of it; 0 where a subspace was
    invariant."""

    diagonal: Float[Array, " K"]
    off: Float[Array, " K"]
    basis: Float[Array, "K n"]


@struct.dataclass
class Quadrature:
    """Nodes and weights of each probe; the weights of a probe sum to 1."""

    nodes: Float[Array, "P K"]
    weights: Float[Array, "P K"]


def lanczos(product: Callable, start, steps: int) -> Tridiagonal:
    """`steps` of the method at the top of this file. `product(v)` is A v for trees like `start`, which need not be of unit length. Raises ValueError
    for steps below 1 or above the dimension, a start of zeros or not finite."""
    v, back = ravel_pytree(start)
    _hold(steps, v.size)
    if not isinstance(v, jax.core.Tracer) and not 0 < np.linalg.norm(np.asarray(v)) < np.inf:
        raise ValueError(
            f"the vector to start from must be finite and not zero, its norm is {np.linalg.norm(np.asarray(v)):g}"
        )
    enough, tiny = 100 * jnp.finfo(v.dtype).eps, jnp.finfo(v.dtype).tiny

    wave = jnp.square(jnp.arange(1, v.size + 1, dtype=v.dtype))

    def step(carry, k):
        v, before, beside, basis, size = carry
        basis = basis.at[k].set(v)
        orthogonal = lambda w: w - (basis @ w) @ basis
        image = ravel_pytree(product(back(v)))[0]
        along = v @ image
        w = image - along * v - beside * before
        size = jnp.maximum(size, jnp.linalg.norm(image))
        invariant = jnp.linalg.norm(w) <= enough * size
        w = orthogonal(orthogonal(jnp.where(invariant, jnp.sin((k + 2) * wave), w)))
        norm = jnp.linalg.norm(w)
        beside = jnp.where(invariant, 0, norm)
        return (w / jnp.maximum(norm, tiny), v, beside, basis, size), (along, beside)

    zero = jnp.zeros((), v.dtype)
    begin = (
        v / jnp.linalg.norm(v),
        jnp.zeros_like(v),
        zero,
        jnp.zeros((steps, v.size), v.dtype),
        zero,
    )
    (*_, basis, _), (diagonal, off) = jax.lax.scan(step, begin, jnp.arange(steps))
    return Tridiagonal(diagonal, off, basis)


def ritz(found: Tridiagonal) -> tuple[Float[Array, " K"], Float[Array, "K K"]]:
    """Eigenvalues of T_K, rising, and its eigenvectors as columns."""
    beside = jnp.diag(found.off[:-1], 1)
    return jnp.linalg.eigh(jnp.diag(found.diagonal) + beside + beside.T)


def top_eigenpairs(product: Callable, like, k: int, steps: int, key):
    """The k largest eigenvalues of A, falling, (k,); their eigenvectors as a tree like `like` with an axis of length k in front; and for each a
    bound on the distance to an eigenvalue of A, (k,). For the smallest give -A. Raises ValueError for k outside 1..steps, or steps outside
    1..dimension."""
    vector, back = ravel_pytree(like)
    if not 1 <= k <= steps:
        raise ValueError(
            f"{steps} steps cannot find {k} eigenvalues: at least 1 and at most as many as steps"
        )
    found = lanczos(product, back(jax.random.normal(key, vector.shape, vector.dtype)), steps)
    values, vectors = ritz(found)
    largest = vectors[:, ::-1][:, :k]
    return (
        values[::-1][:k],
        jax.vmap(back)(largest.T @ found.basis),
        jnp.abs(found.off[-1] * largest[-1]),
    )


def probe(key, like, kind: Probe = "rademacher"):
    """A random tree like `like` of independent entries of mean 0 and variance 1. Raises ValueError for an unknown kind."""
    if kind not in get_args(Probe):
        raise ValueError(f"probes are {' or '.join(get_args(Probe))}, not {kind!r}")
    vector, back = ravel_pytree(like)
    draw = jax.random.rademacher if kind == "rademacher" else jax.random.normal
    return back(draw(key, vector.shape, vector.dtype))


def quadrature(
    product: Callable,
    like,
    steps: int,
    probes: int,
    key,
    kind: Probe = "rademacher",
    together: int = 1,
) -> Quadrature:
    """Nodes and weights of the spectral density of A from `probes` runs of Lanczos, `together` of them at a time. Raises ValueError for probes below
    1, or steps outside 1..dimension."""
    _some(probes)

    def one(key):
        values, vectors = ritz(lanczos(product, probe(key, like, kind), steps))
        return values, jnp.square(vectors[0])

    nodes, weights = jax.lax.map(
        one, jax.random.split(key, probes), batch_size=min(together, probes)
    )
    return Quadrature(nodes, weights)


def hutchinson(
    product: Callable, like, probes: int, key, kind: Probe = "rademacher"
) -> Float[Array, " P"]:
    """v . A v of random probes: each has the trace of A as its mean, and the variance 2 (|A|_F^2 - sum_i A_ii^2) with Rademacher probes, 2 |A|_F^2
    with Gaussian ones. Raises ValueError for probes below 1."""
    _some(probes)

    def one(key):
        v = probe(key, like, kind)
        return jnp.vdot(ravel_pytree(v)[0], ravel_pytree(product(v))[0])

    return jax.lax.map(one, jax.random.split(key, probes))


def integral(found: Quadrature, f: Callable) -> float:
    """1/n tr f(A), the mean of f over the spectral density; `f` takes and gives arrays. Raises ValueError where the nodes are not finite."""
    nodes, weights = _numbers(found)
    return float((weights * f(nodes)).sum() / len(nodes))


def density(found: Quadrature, grid: np.ndarray, width: float) -> np.ndarray:
    """The spectral density at the points of `grid`, each node a Gaussian of standard deviation `width`. Raises ValueError for a width that is not
    above 0, or nodes that are not finite."""
    z = (np.asarray(grid, np.float64)[:, None, None] - _numbers(found)[0][None]) / _above_zero(
        width
    )
    return (np.exp(-0.5 * z**2) * _numbers(found)[1][None]).sum((1, 2)) / (
        len(found.nodes) * width * (2 * np.pi) ** 0.5
    )


def distribution(found: Quadrature, grid: np.ndarray, width: float) -> np.ndarray:
    """The share of the spectrum below each point of `grid`, smoothed like `density`, with the same errors."""
    from scipy.special import ndtr

    z = (np.asarray(grid, np.float64)[:, None, None] - _numbers(found)[0][None]) / _above_zero(
        width
    )
    return (ndtr(z) * _numbers(found)[1][None]).sum((1, 2)) / len(found.nodes)


def exactly(eigenvalues: np.ndarray) -> Quadrature:
    """Known eigenvalues as a quadrature of one probe."""
    values = jnp.asarray(eigenvalues)
    return Quadrature(values[None], jnp.full((1, values.size), 1 / values.size, values.dtype))


def _numbers(found: Quadrature) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = (np.asarray(part, np.float64) for part in (found.nodes, found.weights))
    if not (np.isfinite(nodes).all() and np.isfinite(weights).all()):
        raise ValueError(
            "the nodes are not finite: the products were not, or were not of a symmetric matrix"
        )
    return nodes, weights


def _above_zero(width: float) -> float:
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be above 0 and finite, got {width}")
    return width


def _some(probes: int) -> None:
    if probes < 1:
        raise ValueError(f"at least one probe is needed, got {probes}")


def _hold(steps: int, dimension: int) -> None:
    if not 1 <= steps <= dimension:
        raise ValueError(
            f"{steps} steps in {dimension} dimensions: at least 1 and at most as many as dimensions"
        )
