"""Cover's theorem: the number of dichotomies of N points that a hyperplane can separate.

N points in R^d are in general position if any d of them are linearly independent. A hyperplane
through the origin then separates C(N, d) of the 2^N ways to label them by two classes. A new point
splits in two exactly the dichotomies with a separating hyperplane through the point, and there are
as many of these as in d - 1 dimensions:

    C(N + 1, d) = C(N, d) + C(N, d - 1)      =>      C(N, d) = 2 sum_{k < d} binom(N - 1, k).

All 2^N are separable for N <= d, and exactly half for N = 2 d, the capacity. A feature map phi into
more dimensions makes more dichotomies separable; d is then the number of features. The map
phi(x) = (1, x) gives hyperplanes that need not contain the origin.
Source: Cover 1965; Minsky & Papert 1969 (the parity of b bits needs products of b bits).
"""

import itertools
import math
from fractions import Fraction

import numpy as np

MOST = 16
"""largest number of points whose dichotomies are enumerated"""
ZERO = 1e-8
"""margin that the linear program reports as 0"""


def count(n: int, d: int) -> int:
    """The exact number C(n, d) of separable dichotomies. Raises ValueError if n or d is below 1."""
    if n < 1 or d < 1:
        raise ValueError(f"n and d must be at least 1, got {n} and {d}")
    return 2 * sum(math.comb(n - 1, k) for k in range(d))


def probability(n: int, d: int) -> float:
    """Probability C(n, d) / 2^n that a random dichotomy is separable."""
    return float(Fraction(count(n, d), 2**n))


def separable(x_ND: np.ndarray, sign_N: np.ndarray) -> bool:
    """True if some w has sign_i x_i . w > 0 for all points.

    A linear program maximises t with sign_i x_i . w >= t and all |w_k| <= 1, for points scaled to
    unit length; the labels are separable if t > 1e-8.
    Raises ValueError for shapes that do not fit, no points, values that are not finite, and signs
    other than 1 and -1.
    """
    from scipy.optimize import linprog

    x_ND, sign_N = np.asarray(x_ND, np.float64), np.asarray(sign_N, np.float64)
    if x_ND.ndim != 2 or 0 in x_ND.shape or sign_N.shape != x_ND.shape[:1]:
        raise ValueError(
            "points and signs must have shapes (N, D) and (N,) with N and D at least 1, "
            f"got {x_ND.shape} and {sign_N.shape}"
        )
    if not np.isfinite(x_ND).all() or not (np.abs(sign_N) == 1).all():
        raise ValueError("points must be finite numbers, signs 1 or -1")
    size = np.linalg.norm(x_ND, axis=1)
    if not size.all():
        return False
    scaled = sign_N[:, None] * x_ND / size[:, None]
    rows = np.concatenate([-scaled, np.ones((len(scaled), 1))], axis=1)
    solution = linprog(
        -np.eye(rows.shape[1])[-1],
        A_ub=rows,
        b_ub=np.zeros(len(rows)),
        bounds=(-1, 1),
        method="highs",
    )
    if solution.status != 0:
        raise RuntimeError(f"the linear program was not solved: {solution.message}")
    return bool(solution.x[-1] > ZERO)


def dichotomies(n: int) -> np.ndarray:
    """The 2^(n - 1) rows of n labels -1 or 1 that start with 1; the others are their negatives.

    Raises ValueError for n outside 1..16.
    """
    if not 1 <= n <= MOST:
        raise ValueError(f"n must lie between 1 and {MOST}, got {n}")
    return np.array([(1, *signs) for signs in itertools.product((1, -1), repeat=n - 1)])


def separable_dichotomies(x_ND: np.ndarray) -> int:
    """Number of separable dichotomies of the points, by testing all 2^N of them.

    Raises the errors of `dichotomies` and `separable`.
    """
    return 2 * sum(separable(x_ND, signs) for signs in dichotomies(len(x_ND)))


def monomials(x_ND: np.ndarray, degree: int) -> np.ndarray:
    """All monomials up to `degree` of each point, shape (N, binom(D + degree, degree)).

    The order is 1, the coordinates, products of two, and so on.
    Raises ValueError for a negative degree.
    """
    if degree < 0:
        raise ValueError(f"degree must be at least 0, got {degree}")
    x_ND = np.asarray(x_ND)
    factors = [
        c
        for k in range(degree + 1)
        for c in itertools.combinations_with_replacement(range(x_ND.shape[1]), k)
    ]
    return np.stack([x_ND[:, c].prod(1) for c in factors], axis=1)


def cube(bits: int) -> np.ndarray:
    """The 2^bits corners of the cube [-1, 1]^bits."""
    return np.array(list(itertools.product((-1, 1), repeat=bits)))


def separable_share(
    rng: np.random.Generator, n: int, d: int, trials: int, degree: int | None = None
) -> tuple[int, int]:
    """(hits, D): the number of separable dichotomies among `trials` random ones, and the dimension.

    Each trial draws n normal points in R^d and random labels. With a degree, the points are mapped
    by `monomials` first. D is the number of features, d without a degree.
    """
    hits = 0
    for _ in range(trials):
        x, signs = rng.standard_normal((n, d)), rng.choice((-1, 1), n)
        lifted = x if degree is None else monomials(x, degree)
        hits += separable(lifted, signs)
    return hits, lifted.shape[1]
