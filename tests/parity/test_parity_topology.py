"""Vietoris-Rips diagrams against gudhi and ripser, bottleneck distances against persim."""

import numpy as np
import pytest

from panorax.maths.topology.diagrams import bottleneck
from panorax.maths.topology.persistence import diagrams
from panorax.testing.tolerances import NUMBER

CLOUDS = (
    "topology/plane",
    "topology/space",
    "topology/four",
    "topology/cut",
    "topology/circle",
    "topology/sphere",
    "topology/torus",
    "topology/grid",
)
SHORTEST = 1e-6


@pytest.mark.parametrize("name", CLOUDS)
def test_diagrams(golden, name):
    with golden(name) as case:
        threshold = case.settings()["threshold"]
        for k, ours in enumerate(diagrams(np.asarray(case["distance"]), 2, threshold)):
            ours, theirs = ours[ours[:, 1] - ours[:, 0] > SHORTEST], np.asarray(case[f"H{k}"])
            keys = ours.round(6)
            ours = ours[np.lexsort((keys[:, 1], keys[:, 0]))]
            np.testing.assert_allclose(ours, theirs, **NUMBER, err_msg=f"H{k}")


def test_bottleneck_distances(golden):
    with golden("topology/bottleneck") as case:
        one, other, theirs = case.group("one"), case.group("other"), np.asarray(case["distances"])
        for i, distance in enumerate(theirs):
            np.testing.assert_allclose(bottleneck(one[str(i)], other[str(i)]), distance, **NUMBER)
