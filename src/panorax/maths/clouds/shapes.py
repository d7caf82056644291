"""Point clouds on shapes of known homology.

The Betti numbers (H0, H1, H2) are (1, 1) for the circle, (1, 2) for the figure eight, (1, 0, 1) for
the sphere and (1, 2, 1) for the torus.
"""

import numpy as np

DENSE = 20
"""points drawn per point kept"""


def regular_circle(n: int) -> np.ndarray:
    """n equally spaced points on the unit circle, (n, 2), in float64.

    For n > 3, H1 is one bar born at 2 sin(pi / n). If 3 divides n, the bar dies at sqrt(3), where
    n / 3 - 1 bars of H2 are born (Adamaszek & Adams 2017, arXiv:1503.03669).
    """
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def figure_eight(rng: np.random.Generator, n: int) -> np.ndarray:
    """n points on two touching unit circles, (n, 2)."""
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
    """Farthest point sampling of n points, starting with the first, in float64.

    Raises ValueError for n outside 1..N.
    """
    x_ND = np.asarray(x_ND, np.float64)
    if not 1 <= n <= len(x_ND):
        raise ValueError(f"n must lie between 1 and the number of points {len(x_ND)}, got {n}")
    index, distance = [0], np.linalg.norm(x_ND - x_ND[:1], axis=1)
    for _ in range(n - 1):
        index.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(x_ND - x_ND[index[-1], None], axis=1))
    return x_ND[index]
