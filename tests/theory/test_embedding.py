import jax
import numpy as np
import pytest
from panorax.configs.theory import embedding as config

from panorax.core.errors import UserError
from panorax.data.datasets import digit_cloud
from panorax.theory.embedding import Config, named_by_neighbor, study


def test_the_study_measures_what_it_names():
    metrics = study(config.smoke(), jax.random.key(0)).metrics
    assert {claim.metric for claim in config.CLAIMS} <= set(metrics)
    assert metrics["trustworthiness_pca"] > metrics["trustworthiness_chance"] + 0.1
    assert (
        min(metrics["recall_tsne"], metrics["recall_umap"]) > 4 * 8 / 119
    )  # four times what chance keeps


def test_the_cloud_is_all_digits():
    x, label = digit_cloud(1797)
    assert x.shape == (1797, 64) and np.bincount(label).min() >= 174
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
def test_what_cannot_be_mapped_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)
