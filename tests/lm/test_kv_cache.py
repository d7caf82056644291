"""The calculator of the study of caches, at its own sizes and those of published models."""

import dataclasses

from panorax.configs.lm import kv_cache as config

from panorax.lm import kv_cache
from panorax.lm.kv_cache import DEEPSEEK_V2, LLAMA_2_70B, allocated, bytes_of


def test_every_allocation_has_the_bytes_of_the_calculator():
    metrics = kv_cache.sizes(None, config.get_config()).metrics
    assert metrics["bytes_wrong"] == 0
    assert metrics["one_head_share"] == 1 / 4 and metrics["grouped_share"] == 1 / 2
    assert metrics["latent_as_groups"] == 2.25
    assert 0.98 < metrics["weights_share_of_traffic"] < 1


def test_published_caches_have_their_sizes():
    assert bytes_of(LLAMA_2_70B, 1, 4096) == 1_342_177_280
    assert bytes_of(dataclasses.replace(LLAMA_2_70B, n_kv_heads=64), 1, 4096) == 10_737_418_240
    assert bytes_of(DEEPSEEK_V2, 1, 1) == 60 * 576 * 2


def test_a_wrong_formula_is_found():
    model = kv_cache.layouts(config.smoke())["window"]
    wider = dataclasses.replace(model, windows=(5,))
    assert bytes_of(wider, 2, 12) != allocated(model, 2, 12) == bytes_of(model, 2, 12)
