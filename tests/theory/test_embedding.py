import chex
import jax
import numpy as np
import pytest
from panorax.configs.theory import embedding as config

from panorax.core.errors import UserError
from panorax.core.study import measured
from panorax.data.datasets import digit_cloud
from panorax.theory.embedding import Config, named_by_neighbor, study


def test_maps_keep_more_neighbours_than_chance():
    cfg = config.smoke()
    metrics = measured(study(cfg), jax.random.key(0)).metrics
    chance = cfg.k / (cfg.points - 1)
    assert {claim.metric for claim in config.CLAIMS} <= set(metrics)
    assert metrics["trustworthiness_pca"] > metrics["trustworthiness_chance"] + 0.1
    assert min(metrics["recall_tsne"], metrics["recall_umap"]) > 4 * chance


def test_the_cloud_is_all_digits():
    x, label = digit_cloud(1797)
    chex.assert_shape(x, (1797, 64))
    assert np.bincount(label).min() >= 174
    assert named_by_neighbor(x, label) == pytest.approx(0.988, abs=0.002)


@pytest.mark.parametrize(
    "change",
    [
        {"points": 3},
        {"points": 1798},
        {"k": 900},
        {"perplexity": 1797.0},
        {"min_dist": 3.0},
        {"neighbors": 1},
    ],
)
def test_bad_input_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)
