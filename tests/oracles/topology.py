"""Vietoris-Rips diagrams of gudhi and of ripser, which must agree with each other, and bottleneck distances of persim.

Bars shorter than 1e-6 are left out: where distances are equal but for rounding, how many there are is a matter of rounding.
"""

import gudhi
import numpy as np
import persim
from case import Arrays, named, settings
from ripser import ripser
from scipy.spatial.distance import pdist, squareform

PACKAGES = ("gudhi", "persim", "ripser", "scipy")
SHORTEST = 1e-6


def clouds(rng: np.random.RandomState) -> dict[str, tuple[np.ndarray, int, float]]:
    """Points, the homology up to which they are compared, and a threshold, by name."""
    angle = 2 * np.pi * np.arange(30) / 30
    sphere = rng.standard_normal((60, 3))
    across, around = rng.uniform(0, 2 * np.pi, (2, 70))
    out = 2 + np.cos(across)
    return {
        "plane": (rng.standard_normal((80, 2)), 2, np.inf),
        "space": (rng.uniform(size=(60, 3)), 2, np.inf),
        "four": (rng.standard_normal((45, 4)), 2, np.inf),
        "cut": (rng.uniform(size=(120, 3)), 2, 0.3),
        "circle": (np.stack([np.cos(angle), np.sin(angle)], 1), 2, np.inf),
        "sphere": (sphere / np.linalg.norm(sphere, axis=1, keepdims=True), 2, np.inf),
        "torus": (
            np.stack([out * np.cos(around), out * np.sin(around), np.sin(across)], 1),
            2,
            np.inf,
        ),
        "grid": (rng.randint(0, 3, (40, 3)).astype(float), 2, np.inf),
    }


def in_order(diagram: np.ndarray) -> np.ndarray:
    """Sorted by birth, then death, to nine digits, without short bars."""
    diagram = np.asarray(diagram, np.float64).reshape(-1, 2)
    diagram = diagram[diagram[:, 1] - diagram[:, 0] > SHORTEST]
    keys = diagram.round(6)
    return diagram[np.lexsort((keys[:, 1], keys[:, 0]))]


def of_gudhi(distance: np.ndarray, top: int, threshold: float) -> list[np.ndarray]:
    tree = gudhi.RipsComplex(
        distance_matrix=distance, max_edge_length=threshold
    ).create_simplex_tree(max_dimension=top + 1)
    tree.compute_persistence(homology_coeff_field=2)
    return [in_order(tree.persistence_intervals_in_dimension(k)) for k in range(top + 1)]


def of_ripser(distance: np.ndarray, top: int, threshold: float) -> list[np.ndarray]:
    return [
        in_order(diagram)
        for diagram in ripser(distance, maxdim=top, thresh=threshold, distance_matrix=True)["dgms"]
    ]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the bars of both are the same, to single precision, in any order."""
    return one.shape == other.shape and all(
        np.allclose(np.sort(a), np.sort(b), atol=1e-5) for a, b in zip(one.T, other.T)
    )


def generate() -> Arrays:
    arrays, rng = {}, np.random.RandomState(11)
    found = {}
    for name, (x, top, threshold) in clouds(rng).items():
        distance = squareform(pdist(x)).astype(np.float32).astype(np.float64)  # as it is stored
        found[name] = of_gudhi(distance, top, threshold)
        if not all(map(same, found[name], of_ripser(distance, top, threshold))):
            raise ValueError(f"gudhi and ripser differ on {name}")
        diagrams = {f"H{k}": diagram for k, diagram in enumerate(found[name])}
        arrays |= named(
            name,
            {
                "distance": distance,
                **diagrams,
                **settings(threshold=None if np.isinf(threshold) else threshold),
            },
        )
    pairs = [
        ("plane", "four", 1),
        ("space", "sphere", 1),
        ("space", "torus", 1),
        ("four", "sphere", 1),
        ("plane", "torus", 0),
        ("four", "sphere", 2),
    ]
    ending = [
        [found[name][k][np.isfinite(found[name][k][:, 1])].astype(np.float32) for name in names]
        for *names, k in pairs
    ]
    distances = np.array([persim.bottleneck(*both) for both in ending])
    diagrams = {
        f"{side}/{i}": both[j]
        for i, both in enumerate(ending)
        for j, side in enumerate(("one", "other"))
    }
    return arrays | named("bottleneck", {"distances": distances, **diagrams})
