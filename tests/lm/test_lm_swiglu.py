"""The study of feed-forward networks at its smoke size, and the shares of published layers."""

import numpy as np
import pytest
from panorax.configs.lm import swiglu as config

from panorax.lm import swiglu, variants


def test_shares_are_those_of_published_layers():
    metrics = swiglu.shares(None, config.get_config()).metrics
    assert metrics == {"share_llama_2_7b": 66.8, "share_llama_3_8b": 80.8}


def test_networks_have_equal_parameters():
    models = swiglu.models(config.get_config())
    sizes = [variants.size(model) for model in models.values()]
    assert max(sizes) / min(sizes) < 1.001 and models["relu"].d_ff == 384


def test_an_interval_is_that_of_paired_differences(monkeypatch):
    losses = {name: np.array([1.0, 2.0, 3.0]) for name in swiglu.NETWORKS}
    losses["swiglu"] = np.array([0.9, 1.8, 2.9])
    monkeypatch.setattr(variants, "compared", lambda *arguments: losses)
    metrics = swiglu.quality(None, config.get_config()).metrics
    assert metrics["gelu_low"] == metrics["gelu_high"] == 0
    assert metrics["swiglu_low"] < -0.4 / 3 < metrics["swiglu_high"] < 0.1


def test_an_interval_needs_two_seeds():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        swiglu.Config(seeds=1)
