import pytest

from panorax.bench import embedding, learned_embedding


@pytest.mark.parametrize(
    "contender, case",
    [
        (embedding.mapped_by_tsne, "tsne"),
        (learned_embedding.mapped_by_tsne, "tsne"),
        (embedding.mapped_by_umap, "umap"),
    ],
)
def test_contender_maps_the_digits_with_high_trustworthiness(contender, case, tmp_path):
    facts, work = contender({"points": 150}, tmp_path)
    assert work() == work() == 150 and len(facts["maps"]) == 2
    measured = embedding.qualities(facts["maps"], case, 150)
    assert all(len(values) == 2 for values in measured.values())
    assert min(measured["trustworthiness"]) > 0.9
    assert set(measured) == {"trustworthiness", "recall"} | ({"kl"} if case == "tsne" else set())
