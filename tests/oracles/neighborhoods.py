"""Fuzzy neighbourhood graphs, and the curve fitted to a minimal distance, by umap-learn."""

import numpy as np
from case import Arrays, named, normal, settings
from umap.umap_ import find_ab_params, fuzzy_simplicial_set

GROUP = "theory"
PACKAGES = ("umap-learn",)


def generate() -> Arrays:
    arrays, rng = {}, np.random.RandomState(21)
    for k in (5, 15):
        x = normal(rng, 40, 3)
        graph, *_ = fuzzy_simplicial_set(x, k, np.random.RandomState(0), "euclidean")
        arrays |= named(f"graph_{k}", {"x": x, "v": graph.toarray(), **settings(neighbors=k)})
    for i, distance in enumerate((0.0, 0.1, 0.5, 0.99)):
        curve = {"ab": np.array(find_ab_params(1.0, distance)), **settings(min_dist=distance)}
        arrays |= named(f"curve_{i}", curve)
    return arrays
