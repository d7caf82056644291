"""The mathematics beside packages that the tests do not have."""

import numpy as np
import pytest

from panorax.maths.clouds.umap import curve, fuzzy_graph


@pytest.mark.parametrize("name", ["neighborhoods/graph_5", "neighborhoods/graph_15"])
def test_fuzzy_graphs_are_umap_learns(golden, name):
    with golden(name) as case:
        np.testing.assert_allclose(
            fuzzy_graph(case["x"], **case.settings()).toarray(), case["v"], atol=1e-5
        )


@pytest.mark.parametrize(
    "name",
    [
        "neighborhoods/curve_0",
        "neighborhoods/curve_1",
        "neighborhoods/curve_2",
        "neighborhoods/curve_3",
    ],
)
def test_curves_are_umap_learns(golden, name):
    with golden(name) as case:
        np.testing.assert_allclose(curve(**case.settings()), case["ab"], rtol=1e-6)
