"""Neighbourhood graphs and curves against umap-learn, and skip-gram against gensim."""

import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.clouds.umap import curve, fuzzy_graph
from panorax.testing.tolerances import COARSE, LAYER, NUMBER
from panorax.theory.word_embedding import skip_gram


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


@pytest.mark.parametrize("name", ("skip_gram/loss_1", "skip_gram/loss_5"))
def test_the_loss_of_skip_gram(golden, name):
    with golden(name) as case:
        k = case.settings()["k"]
        vectors = skip_gram.Vectors(case["word"], case["context"])
        for (a, b), n, theirs in zip(case["pairs"], case["negatives"], case["losses"]):
            both = jnp.array([a, b]), jnp.array([b, a]), jnp.full((2, k), n)
            ours = 2 * skip_gram.loss(vectors, *both)
            terms = 2 * (1 + k)  # each is at most 0.012 too large in gensim's table
            np.testing.assert_allclose(ours / terms, theirs / terms, **COARSE)
