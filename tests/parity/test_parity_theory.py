"""The mathematics beside packages that the tests do not have."""

import numpy as np
import pytest

from panorax.theory.umap import curve, fuzzy_graph


@pytest.mark.parametrize("k", [5, 15])
def test_fuzzy_graphs_are_umap_learns(golden, k):
    with golden(f"neighborhoods/graph_{k}") as case:
        np.testing.assert_allclose(fuzzy_graph(case["x"], **case.settings()).toarray(), case["v"], atol=2e-5)


@pytest.mark.parametrize("i", range(4))
def test_curves_are_umap_learns(golden, i):
    with golden(f"neighborhoods/curve_{i}") as case:
        np.testing.assert_allclose(curve(**case.settings()), case["ab"], rtol=1e-3)
