"""Spectrum of a symmetric matrix from products with it: Lanczos and stochastic Lanczos quadrature.

From a unit vector v_1 Lanczos builds an orthonormal basis V_K of span{v_1, A v_1, A^2 v_1, ..} in
which A is tridiagonal:

    A V_K = V_K T_K + b_K v_{K+1} e_K^T,     w_k = A v_k - a_k v_k - b_{k-1} v_{k-1},
    T_K has the diagonal a_k = v_k . A v_k and the off-diagonal b_k = |w_k|.

The eigenvalues t_i of T_K (Ritz values) approach the eigenvalues of A, extreme ones first: A has an
eigenvalue within b_K |s_Ki| of t_i, s_i the eigenvector of T_K. Rounding would pull the v_k back
towards the eigenvectors that converged first, so w_k is orthogonalised against all v_k twice
("twice is enough", Parlett). If w_k vanishes, V_k spans an invariant subspace: b_k = 0, and the
method continues from a new direction orthogonal to V_k.

The t_i with weights s_1i^2 are the Gauss quadrature of the measure with mass (v_1 . q_j)^2 on each
eigenvalue of A (q_j its eigenvector), exact for polynomials of degree 2K - 1. For a random probe
v_1 with E v_1 v_1^T = I / n, the expected measure is the spectral density: mass 1/n on each
eigenvalue.
Source: Golub & Meurant, Matrices, Moments and Quadrature, chapters 4, 6 and 11; Ghorbani, Krishnan
& Xiao 2019 (arXiv:1901.10159); Hutchinson 1990.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from panorax.core import struct

Probe = Literal["rademacher", "gaussian"]


@struct.dataclass
class Tridiagonal:
    """T_K and V_K after K steps of `lanczos`."""

    diagonal: Float[Array, " K"]
    """a_k"""
    off: Float[Array, " K"]
    """b_k, 0 after an invariant subspace; `off[K - 1]` couples V_K to v_{K+1}"""
    basis: Float[Array, "K n"]
    """v_k as rows"""


@struct.dataclass
class Quadrature:
    """Quadrature of the spectral density from P probes; the weights of each probe sum to 1."""

    nodes: Float[Array, "P K"]
    weights: Float[Array, "P K"]


class _Carry(NamedTuple):
    """State of the Lanczos iteration."""

    v: Float[Array, " n"]
    """v_k"""
    previous: Float[Array, " n"]
    """v_{k-1}"""
    off: Float[Array, ""]
    """b_{k-1}"""
    basis: Float[Array, "K n"]
    """v_1 to v_{k-1} as rows, zeros below"""
    size: Float[Array, ""]
    """largest |A v| so far, the scale of rounding errors"""


def lanczos(product: Callable, start, steps: int) -> Tridiagonal:
    """Runs `steps` Lanczos steps from the tree `start`, which need not have unit length.

    `product(v)` is A v for trees like `start`. Raises ValueError for steps outside 1..dimension,
    and for a start that is zero or not finite.
    """
    v, back = ravel_pytree(start)
    _check_steps(steps, v.size)
    if not isinstance(v, jax.core.Tracer) and not 0 < np.linalg.norm(np.asarray(v)) < np.inf:
        raise ValueError(
            "the start vector must be finite and not zero, "
            f"its norm is {np.linalg.norm(np.asarray(v)):g}"
        )
    threshold, tiny = 100 * jnp.finfo(v.dtype).eps, jnp.finfo(v.dtype).tiny

    wave = jnp.square(jnp.arange(1, v.size + 1, dtype=v.dtype))

    def step(carry, k):
        v, previous, off, basis, size = carry
        basis = basis.at[k].set(v)
        orthogonal = lambda w: w - (basis @ w) @ basis
        image = ravel_pytree(product(back(v)))[0]
        diagonal = v @ image
        w = image - diagonal * v - off * previous
        size = jnp.maximum(size, jnp.linalg.norm(image))
        invariant = jnp.linalg.norm(w) <= threshold * size
        w = orthogonal(orthogonal(jnp.where(invariant, jnp.sin((k + 2) * wave), w)))
        norm = jnp.linalg.norm(w)
        off = jnp.where(invariant, 0, norm)
        return _Carry(w / jnp.maximum(norm, tiny), v, off, basis, size), (diagonal, off)

    zero = jnp.zeros((), v.dtype)
    begin = _Carry(
        v / jnp.linalg.norm(v),
        jnp.zeros_like(v),
        zero,
        jnp.zeros((steps, v.size), v.dtype),
        zero,
    )
    end, (diagonal, off) = jax.lax.scan(step, begin, jnp.arange(steps))
    return Tridiagonal(diagonal, off, end.basis)


def ritz(tridiagonal: Tridiagonal) -> tuple[Float[Array, " K"], Float[Array, "K K"]]:
    """Eigenvalues of T_K in ascending order, and its eigenvectors as columns."""
    off = jnp.diag(tridiagonal.off[:-1], 1)
    return jnp.linalg.eigh(jnp.diag(tridiagonal.diagonal) + off + off.T)


def top_eigenpairs(
    product: Callable, like, k: int, steps: int, key
) -> tuple[Float[Array, " k"], Any, Float[Array, " k"]]:
    """The k largest eigenvalues of A in descending order, their eigenvectors, and error bounds.

    The eigenvectors form a tree like `like` with a leading axis of length k. Each bound limits the
    distance of its value to an eigenvalue of A. Pass -A for the smallest eigenvalues.
    Raises ValueError for k outside 1..steps, or steps outside 1..dimension.
    """
    vector, back = ravel_pytree(like)
    if not 1 <= k <= steps:
        raise ValueError(f"k must lie between 1 and the {steps} steps, got {k}")
    run = lanczos(product, back(jax.random.normal(key, vector.shape, vector.dtype)), steps)
    values, vectors = ritz(run)
    largest = vectors[:, ::-1][:, :k]
    return (
        values[::-1][:k],
        jax.vmap(back)(largest.T @ run.basis),
        jnp.abs(run.off[-1] * largest[-1]),
    )


def probe(key, like, kind: Probe = "rademacher"):
    """A random tree like `like` with independent entries of mean 0 and variance 1.

    Raises ValueError for an unknown kind.
    """
    if kind not in get_args(Probe):
        raise ValueError(f"kind must be {' or '.join(get_args(Probe))}, not {kind!r}")
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
    """Stochastic Lanczos quadrature of the spectral density of A, from one run per probe.

    together: the number of probes computed in one batch.
    Raises ValueError for probes below 1, or steps outside 1..dimension.
    """
    _check_probes(probes)

    def run(key):
        values, vectors = ritz(lanczos(product, probe(key, like, kind), steps))
        return values, jnp.square(vectors[0])

    nodes, weights = jax.lax.map(
        run, jax.random.split(key, probes), batch_size=min(together, probes)
    )
    return Quadrature(nodes, weights)


def hutchinson(
    product: Callable, like, probes: int, key, kind: Probe = "rademacher"
) -> Float[Array, " P"]:
    """Hutchinson estimates v . A v of the trace of A, one for each random probe v.

    Each estimate is unbiased. Its variance is 2 (|A|_F^2 - sum_i A_ii^2) for Rademacher probes and
    2 |A|_F^2 for Gaussian probes. Raises ValueError for probes below 1.
    """
    _check_probes(probes)

    def estimate(key):
        v = probe(key, like, kind)
        return jnp.vdot(ravel_pytree(v)[0], ravel_pytree(product(v))[0])

    return jax.lax.map(estimate, jax.random.split(key, probes))


def integral(spectrum: Quadrature, f: Callable) -> float:
    """1/n tr f(A), the mean of f over the spectral density; f maps arrays elementwise.

    Raises ValueError if the quadrature is not finite.
    """
    nodes, weights = _finite(spectrum)
    return float((weights * f(nodes)).sum() / len(nodes))


def density(spectrum: Quadrature, grid: np.ndarray, width: float) -> np.ndarray:
    """The spectral density at the points of `grid`, with each node a Gaussian of deviation `width`.

    Raises ValueError unless `width` is positive and finite, and if the quadrature is not finite.
    """
    z, weights = _standardised(spectrum, grid, width)
    return (np.exp(-0.5 * z**2) * weights[None]).sum((1, 2)) / (
        len(spectrum.nodes) * width * (2 * np.pi) ** 0.5
    )


def distribution(spectrum: Quadrature, grid: np.ndarray, width: float) -> np.ndarray:
    """The share of eigenvalues below each point of `grid`, smoothed as in `density`.

    Raises the errors of `density`.
    """
    from scipy.special import ndtr

    z, weights = _standardised(spectrum, grid, width)
    return (ndtr(z) * weights[None]).sum((1, 2)) / len(spectrum.nodes)


def exactly(eigenvalues: np.ndarray) -> Quadrature:
    """Known eigenvalues as a quadrature with one probe and equal weights."""
    values = jnp.asarray(eigenvalues)
    return Quadrature(values[None], jnp.full((1, values.size), 1 / values.size, values.dtype))


def _finite(spectrum: Quadrature) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights in float64."""
    nodes, weights = (np.asarray(part, np.float64) for part in (spectrum.nodes, spectrum.weights))
    if not (np.isfinite(nodes).all() and np.isfinite(weights).all()):
        raise ValueError("the nodes are not finite: A is not symmetric or A v is not finite")
    return nodes, weights


def _standardised(
    spectrum: Quadrature, grid: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """(grid - node) / width of shape (grid, P, K), and the weights."""
    nodes, weights = _finite(spectrum)
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be above 0 and finite, got {width}")
    return (np.asarray(grid, np.float64)[:, None, None] - nodes[None]) / width, weights


def _check_probes(probes: int) -> None:
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")


def _check_steps(steps: int, dimension: int) -> None:
    if not 1 <= steps <= dimension:
        raise ValueError(f"steps must lie between 1 and the dimension {dimension}, got {steps}")
