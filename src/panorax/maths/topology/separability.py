"""Cover's theorem: how many of the 2^N ways to label N points a hyperplane through the origin of R^d can tell apart.

In general position (any d of the points linearly independent), adding a point to N others splits in two exactly those dichotomies that a hyperplane
through it makes, of which there are as many as in d - 1 dimensions:

    C(N + 1, d) = C(N, d) + C(N, d - 1)      =>      C(N, d) = 2 sum_{k < d} binom(N - 1, k).

All 2^N are separable while N <= d, and exactly half of them at N = 2 d, the capacity. What cannot be told apart in
few dimensions can be after a map phi into many, with their number as d. Hyperplanes that need not meet the origin are those of phi(x) = (1, x).
Source: Cover 1965; the parity of b bits needs products of b of them, Minsky & Papert 1969.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

MOST = 16
"""points whose dichotomies are all tried"""
ZERO = 1e-8


def count(n: int, d: int) -> int:
    """C(n, d) of the top of this file, exactly. Raises ValueError for no point or no dimension."""
    if n < 1 or d < 1:
        raise ValueError(
            f"dichotomies are counted of at least one point in at least one dimension, got {n} in {d}"
        )
    return 2 * sum(math.comb(n - 1, k) for k in range(d))


def probability(n: int, d: int) -> float:
    """C(n, d) / 2^n: that a random dichotomy is separable."""
    return float(Fraction(count(n, d), 2**n))


def separable(x_ND: np.ndarray, sign_N: np.ndarray) -> bool:
    """Whether some w has sign_i x_i . w > 0 for all points: the linear program of the largest t with sign_i x_i . w >= t and all |w_k| <= 1, which is
    0 where there is none. Points are scaled to length 1 first, which changes nothing; a t below 1e-8 is 0 to the program. Raises ValueError for shapes
    that do not fit, no point, numbers that are not finite, and other signs than 1, -1."""
    from scipy.optimize import linprog

    x_ND, sign_N = np.asarray(x_ND, np.float64), np.asarray(sign_N, np.float64)
    if x_ND.ndim != 2 or 0 in x_ND.shape or sign_N.shape != x_ND.shape[:1]:
        raise ValueError(
            f"points (N, D) and signs (N,) with N and D at least 1 are separated, got shapes {x_ND.shape} and {sign_N.shape}"
        )
    if not np.isfinite(x_ND).all() or not (np.abs(sign_N) == 1).all():
        raise ValueError("points must be finite numbers, signs 1 or -1")
    size = np.linalg.norm(x_ND, axis=1)
    if not size.all():
        return False
    scaled = sign_N[:, None] * x_ND / size[:, None]
    rows = np.concatenate([-scaled, np.ones((len(scaled), 1))], axis=1)
    found = linprog(
        -np.eye(rows.shape[1])[-1],
        A_ub=rows,
        b_ub=np.zeros(len(rows)),
        bounds=(-1, 1),
        method="highs",
    )
    if found.status != 0:
        raise RuntimeError(f"the linear program was not solved: {found.message}")
    return bool(found.x[-1] > ZERO)


def dichotomies(n: int) -> np.ndarray:
    """The 2^(n - 1) labelings (.., n) by -1 and 1 whose first label is 1; the others are their negatives. Raises ValueError for n outside 1 to 16."""
    if not 1 <= n <= MOST:
        raise ValueError(f"the dichotomies of 1 to {MOST} points can be listed, not of {n}")
    return np.array([(1, *signs) for signs in itertools.product((1, -1), repeat=n - 1)])


def separable_dichotomies(x_ND: np.ndarray) -> int:
    """How many of all 2^N dichotomies of the points are separable, each tried. Raises ValueError where `dichotomies` or `separable` does."""
    return 2 * sum(separable(x_ND, signs) for signs in dichotomies(len(x_ND)))


def monomials(x_ND: np.ndarray, degree: int) -> np.ndarray:
    """All products of at most `degree` coordinates of each point, (N, binom(D + degree, degree)): 1 first, then the coordinates, then products of
    two. Raises ValueError for a negative degree."""
    if degree < 0:
        raise ValueError(f"a degree is at least 0, got {degree}")
    x_ND = np.asarray(x_ND)
    chosen = [
        c
        for k in range(degree + 1)
        for c in itertools.combinations_with_replacement(range(x_ND.shape[1]), k)
    ]
    return np.stack([x_ND[:, c].prod(1) for c in chosen], axis=1)


def cube(bits: int) -> np.ndarray:
    """The 2^bits corners of the cube [-1, 1]^bits."""
    return np.array(list(itertools.product((-1, 1), repeat=bits)))


def separable_share(
    rng: np.random.Generator, n: int, d: int, trials: int, degree: int | None = None
) -> tuple[int, int]:
    """(hits, D): how many of `trials` random dichotomies of n normal points in R^d, new ones each time, are separable; with a degree, after
    `monomials` of it. D is the dimension in which they are to be."""
    hits = 0
    for _ in range(trials):
        x, signs = rng.standard_normal((n, d)), rng.choice((-1, 1), n)
        lifted = x if degree is None else monomials(x, degree)
        hits += separable(lifted, signs)
    return hits, lifted.shape[1]
