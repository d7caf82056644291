"""Clouds of points on shapes whose homology is known: circle (1, 1), figure eight (1, 2), sphere (1, 0, 1), torus (1, 2, 1) in H0, H1, H2."""

import numpy as np

DENSE = 20
"""points drawn for each that is kept"""


def regular_circle(n: int) -> np.ndarray:
    """n points evenly on the unit circle, (n, 2), float64. For n > 3 their H1 is one bar, born at 2 sin(pi / n); where 3 divides n it dies at
    sqrt(3), and n / 3 - 1 bars of H2 are born there (Adamaszek & Adams 2017, arXiv:1503.03669)."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def figure_eight(rng: np.random.Generator, n: int) -> np.ndarray:
    """n points on two unit circles that touch, (n, 2)."""
    angle, side = rng.uniform(0, 2 * np.pi, DENSE * n), rng.choice((-1, 1), DENSE * n)
    return spread_out(np.stack([np.cos(angle) + side, np.sin(angle)], 1), n)


def sphere(rng: np.random.Generator, n: int) -> np.ndarray:
    """n points on the unit sphere, (n, 3)."""
    x = rng.standard_normal((DENSE * n, 3))
    return spread_out(x / np.linalg.norm(x, axis=1, keepdims=True), n)


def torus(rng: np.random.Generator, n: int) -> np.ndarray:
    """n points on the torus about the z axis with radii 2 and 1, (n, 3)."""
    around, across = rng.uniform(0, 2 * np.pi, (2, DENSE * n))
    out = 2 + np.cos(across)
    return spread_out(np.stack([out * np.cos(around), out * np.sin(around), np.sin(across)], 1), n)


def spread_out(x_ND, n: int) -> np.ndarray:
    """n of the points, the first and then always the one farthest from those taken, in float64. Raises ValueError for more than there are."""
    x_ND = np.asarray(x_ND, np.float64)
    if not 1 <= n <= len(x_ND):
        raise ValueError(f"1 to {len(x_ND)} of {len(x_ND)} points can be taken, not {n}")
    taken, apart = [0], np.linalg.norm(x_ND - x_ND[:1], axis=1)
    for _ in range(n - 1):
        taken.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(x_ND - x_ND[taken[-1], None], axis=1))
    return x_ND[taken]
