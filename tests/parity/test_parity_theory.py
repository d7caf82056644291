"""Neighbourhood graphs and curves against umap-learn."""

import numpy as np
import pytest

from panorax.maths.clouds.umap import curve, fuzzy_graph
from panorax.testing.tolerances import LAYER, NUMBER


@pytest.mark.parametrize("name", ["neighborhoods/graph_5", "neighborhoods/graph_15"])
def test_fuzzy_graphs(golden, name):
    with golden(name) as case:
        graph = fuzzy_graph(case["x"], **case.settings())
        np.testing.assert_allclose(graph.toarray(), case["v"], **LAYER)


@pytest.mark.parametrize(
    "name",
    [
        "neighborhoods/curve_0",
        "neighborhoods/curve_1",
        "neighborhoods/curve_2",
        "neighborhoods/curve_3",
    ],
)
def test_curves(golden, name):
    with golden(name) as case:
        np.testing.assert_allclose(curve(**case.settings()), case["ab"], **NUMBER)
