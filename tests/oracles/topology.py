"""Vietoris-Rips diagrams of gudhi, checked against ripser, and bottleneck distances of persim.

Bars shorter than 1e-6 are left out, because rounding decides how many of them equal distances give.
"""

import gudhi
import numpy as np
import persim
from case import Arrays, named, settings
from ripser import ripser
from scipy.spatial.distance import pdist, squareform

SINGLE = {"atol": 1e-5}
"""ripser computes in float32"""

GROUP = "theory"
PACKAGES = ("gudhi", "persim", "ripser", "scipy")
SHORTEST = 1e-6


def clouds(rng: np.random.RandomState) -> dict[str, tuple[np.ndarray, int, float]]:
    """Points, the largest dimension of homology that is compared, and a threshold, by name."""
    angle = 2 * np.pi * np.arange(30) / 30
    sphere = rng.standard_normal((60, 3))
    across, around = rng.uniform(0, 2 * np.pi, (2, 70))
    radius = 2 + np.cos(across)
    torus = np.stack([radius * np.cos(around), radius * np.sin(around), np.sin(across)], 1)
    return {
        "plane": (rng.standard_normal((80, 2)), 2, np.inf),
        "space": (rng.uniform(size=(60, 3)), 2, np.inf),
        "four": (rng.standard_normal((45, 4)), 2, np.inf),
        "cut": (rng.uniform(size=(120, 3)), 2, 0.3),
        "circle": (np.stack([np.cos(angle), np.sin(angle)], 1), 2, np.inf),
        "sphere": (sphere / np.linalg.norm(sphere, axis=1, keepdims=True), 2, np.inf),
        "torus": (torus, 2, np.inf),
        "grid": (rng.randint(0, 3, (40, 3)).astype(float), 2, np.inf),
    }


def in_order(diagram: np.ndarray) -> np.ndarray:
    """Bars sorted by birth, then death, to six decimals, without short bars."""
    diagram = np.asarray(diagram, np.float64).reshape(-1, 2)
    diagram = diagram[diagram[:, 1] - diagram[:, 0] > SHORTEST]
    keys = diagram.round(6)
    return diagram[np.lexsort((keys[:, 1], keys[:, 0]))]


def of_gudhi(distance: np.ndarray, top: int, threshold: float) -> list[np.ndarray]:
    rips = gudhi.RipsComplex(distance_matrix=distance, max_edge_length=threshold)
    tree = rips.create_simplex_tree(max_dimension=top + 1)
    tree.compute_persistence(homology_coeff_field=2)
    return [in_order(tree.persistence_intervals_in_dimension(k)) for k in range(top + 1)]


def of_ripser(distance: np.ndarray, top: int, threshold: float) -> list[np.ndarray]:
    result = ripser(distance, maxdim=top, thresh=threshold, distance_matrix=True)
    return [in_order(diagram) for diagram in result["dgms"]]


def agree(a: np.ndarray, b: np.ndarray) -> bool:
    """True if two diagrams have the same bars to single precision, in any order."""
    return a.shape == b.shape and all(
        np.allclose(np.sort(x), np.sort(y), **SINGLE) for x, y in zip(a.T, b.T)
    )


PAIRS = (
    ("plane", "four", 1),
    ("space", "sphere", 1),
    ("space", "torus", 1),
    ("four", "sphere", 1),
    ("plane", "torus", 0),
    ("four", "sphere", 2),
)


def generate() -> Arrays:
    arrays, diagrams, rng = {}, {}, np.random.RandomState(11)
    for name, (x, top, threshold) in clouds(rng).items():
        # rounded to float32, as it is stored
        distance = squareform(pdist(x)).astype(np.float32).astype(np.float64)
        diagrams[name] = of_gudhi(distance, top, threshold)
        if not all(map(agree, diagrams[name], of_ripser(distance, top, threshold))):
            raise ValueError(f"gudhi and ripser differ on {name}")
        case = {f"H{k}": diagram for k, diagram in enumerate(diagrams[name])}
        case |= settings(threshold=None if np.isinf(threshold) else threshold)
        arrays |= named(name, {"distance": distance, **case})
    distances, case = [], {}
    for i, (*names, k) in enumerate(PAIRS):
        pair = [diagrams[name][k] for name in names]
        one, other = (x[np.isfinite(x[:, 1])].astype(np.float32) for x in pair)
        distances.append(persim.bottleneck(one, other))
        case |= {f"one/{i}": one, f"other/{i}": other}
    return arrays | named("bottleneck", {"distances": np.array(distances), **case})
