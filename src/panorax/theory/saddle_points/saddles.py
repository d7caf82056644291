"""Functions with known saddles.

    double well     f(x) = |x_1..d-1|^2 / 2 - g x_d^2 / 2 + x_d^4 / 4: a saddle at 0 with one
                    curvature -g, minima of value -g^2 / 4 at x_d = +-sqrt(g)
    octopus         d strict saddles, a tube from each to the next, then a minimum (Du et al. 2017,
                    arXiv:1705.10412, section 4)
    factorisation   f(U, V) = |U V - M|^2 / 2, U with r columns: a linear network of two layers on
                    whitened data
    tanh network    without biases, weights of 0 are critical. The Hessian of two matrices there
                    couples them by X^T (p - y) / N: its eigenvalues are the singular values with
                    both signs. The Hessian of three or more is 0

The critical points of the factorisation are U = Q_S D^1/2, V = D^1/2 P_S^T for subsets S of at most
r singular values of M, and their images under the symmetries that keep U V. The Hessian splits into
2 x 2 blocks. Each i outside S gives eigenvalues +-s_i with each of the r - |S| unused columns, and
s_k +- s_i with each k in S. So the index is

    (r - |S|) #{i not in S: s_i > 0} + #{(k in S, i not in S): s_i > s_k},

0 for the r largest alone: every critical point that is no global minimum is a strict saddle
(Baldi & Hornik 1989; Kawaguchi 2016, arXiv:1605.07110).
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int


def double_well(curvature: float) -> Callable:
    """f of a vector (d,); `curvature` is g. Raises ValueError unless it is above 0."""
    if not isinstance(curvature, jax.core.Tracer) and not curvature > 0:
        raise ValueError(f"the curvature of a double well must be above 0, got {curvature}")
    return lambda x: (
        0.5 * jnp.sum(jnp.square(x[:-1])) - 0.5 * curvature * x[-1] ** 2 + 0.25 * x[-1] ** 4
    )


def octopus(
    steep: float = 1.0, out: float = 1.0, tau: float = float(np.e)
) -> tuple[Callable, float]:
    """`(f, nu)`: f of a vector (d,), and the fall of f from one saddle to the next.

    The minimum is -d nu, at |x_i| = 4 tau. Let y = |x|, L = `steep` and g = `out`. If y_1 .. y_i-1
    are above 2 tau and y_i is below tau,

        f = sum_{j<i} L (y_j - 4 tau)^2 - g y_i^2 + sum_{j>i} L y_j^2 - (i - 1) nu.

    From y_i = tau to 2 tau, polynomials turn the curvature of y_i+1 from 2 L to -2 g. f is twice
    differentiable in the tube that descent follows. Raises ValueError unless all constants are
    above 0.
    """
    if not (steep > 0 and out > 0 and tau > 0):
        raise ValueError(f"all constants must be above 0, got {steep}, {out}, {tau}")
    along = lambda y: (
        -out * y**2
        + (10 * out - 14 * steep) / (3 * tau) * (y - tau) ** 3
        + (5 * steep - 3 * out) / (2 * tau**2) * (y - tau) ** 4
    )

    def across(y):
        z = (y - 2 * tau) / tau
        return -out - (steep + out) * z**3 * (10 + 15 * z + 6 * z**2)

    nu = 4 * steep * tau**2 - along(2 * tau)

    def f(x: Float[Array, " d"]) -> Float[Array, ""]:
        y, j = jnp.abs(x), jnp.arange(x.size)
        done = jnp.sum(jnp.cumprod((y >= 2 * tau).astype(jnp.int32)))
        here = jnp.sum(jnp.where(j == done, y, 0))
        turning = here >= tau
        curved = jnp.where(j < done, steep * (y - 4 * tau) ** 2, steep * y**2)
        own = jnp.where(turning, along(jnp.maximum(here, tau)), -out * here**2)
        following = jnp.where(turning, across(jnp.maximum(here, tau)), steep) * y**2
        return (
            jnp.sum(jnp.where(j == done, own, jnp.where(j == done + 1, following, curved)))
            - done * nu
        )

    return f, float(nu)


def factorisation(m: Float[Array, "a b"], rank: int) -> Callable:
    """|U V - M|^2 / 2 as a function of one vector, U (a, r) before V (r, b).

    Raises ValueError for a rank r below 1 or an M that is not a finite matrix.
    """
    m = np.asarray(m)
    if rank < 1 or m.ndim != 2 or not np.isfinite(m).all():
        raise ValueError(
            "factorisation needs a finite matrix and a rank of at least 1, "
            f"got shape {m.shape} and rank {rank}"
        )
    a, b = m.shape
    return lambda x: (
        0.5
        * jnp.sum(jnp.square(x[: a * rank].reshape(a, rank) @ x[a * rank :].reshape(rank, b) - m))
    )


def critical_factors(m: np.ndarray, rank: int, subset: tuple[int, ...]) -> np.ndarray:
    """The critical point of `factorisation` that keeps the singular values numbered in `subset`.

    Number 0 is the largest singular value. Raises ValueError for more than `rank` numbers, for
    repeated numbers and for numbers out of range.
    """
    q, s, p = np.linalg.svd(np.asarray(m, np.float64), full_matrices=False)
    if (
        len(subset) > rank
        or len({*subset}) < len(subset)
        or not all(0 <= i < len(s) for i in subset)
    ):
        raise ValueError(
            f"a subset has at most {rank} different numbers from 0 to {len(s) - 1}, got {subset}"
        )
    u, v = np.zeros((len(m), rank)), np.zeros((rank, p.shape[1]))
    for column, i in enumerate(subset):
        u[:, column], v[column] = q[:, i] * s[i] ** 0.5, p[i] * s[i] ** 0.5
    return np.concatenate([u.ravel(), v.ravel()])


def index_of_factors(singular: np.ndarray, rank: int, subset: tuple[int, ...]) -> int:
    """Number of negative eigenvalues of the Hessian at `critical_factors`, in closed form.

    singular: singular values of M, largest first.
    """
    outside = [i for i in range(len(singular)) if i not in subset]
    swaps = sum(singular[i] > singular[k] for k in subset for i in outside)
    return int((rank - len(subset)) * sum(singular[i] > 0 for i in outside) + swaps)


def tanh_network(
    x: Float[Array, "N D"], label: Int[Array, " N"], depth: int, hidden: int
) -> tuple[Callable, Callable, int]:
    """`(loss, accuracy, n)` of a network of `depth` matrices without biases.

    loss(vector) is the mean cross entropy in nats and accuracy(vector) the share of correct
    classes, for a vector of all n parameters. Classes are 0 .. max(label). Raises ValueError for a
    depth or width below 1, and unless there is one label for each row.
    """
    if depth < 1 or hidden < 1 or len(x) != len(label) or len(x) == 0:
        raise ValueError(
            "depth and width must be at least 1, rows as many as labels: "
            f"{depth}, {hidden}, {len(x)} and {len(label)}"
        )
    x, label = jnp.asarray(x, jnp.float32), jnp.asarray(label)
    pairs = [*itertools.pairwise((x.shape[1], *[hidden] * (depth - 1), int(label.max()) + 1))]
    cuts = np.cumsum([0] + [a * b for a, b in pairs])

    def logits(vector):
        h = x
        for i, shape in enumerate(pairs):
            h = (jnp.tanh(h) if i else h) @ vector[cuts[i] : cuts[i + 1]].reshape(shape)
        return h

    loss = lambda vector: jnp.mean(
        optax.softmax_cross_entropy_with_integer_labels(logits(vector), label)
    )
    return loss, lambda vector: jnp.mean(jnp.argmax(logits(vector), 1) == label), int(cuts[-1])
