"""The study of attention variants at its smoke size."""

import dataclasses

import jax
from panorax.configs.lm import attention_variants as config

from panorax.lm import attention_variants, variants


def test_caches_shrink_by_heads_and_groups():
    metrics = attention_variants.cached(None, config.get_config()).metrics
    H, G = 6, config.get_config().groups
    assert metrics["mqa_cache_divisor"] == H and metrics["gqa_cache_divisor"] == H / G
    assert metrics["mla_cache_bytes"] == 4 * 4 * 128 * (32 + 16)


def test_all_forms_of_linear_attention_agree():
    metrics = attention_variants.forms(jax.random.key(0), config.smoke()).metrics
    assert max(metrics["parallel_minus_chunked"], metrics["parallel_minus_recurrent"]) < 1e-5


def test_the_full_size_has_equal_parameters():
    models = attention_variants.models(config.get_config())
    sizes = {name: variants.size(model) for name, model in models.items()}
    assert max(sizes.values()) / min(sizes.values()) < 1.002
    assert 400_000 < sizes["mha"] < 1_000_000


def test_a_model_is_matched_to_itself():
    model = config.get_config().model
    wider = dataclasses.replace(model, d_ff=999)
    assert variants.matched(wider, model) == model
