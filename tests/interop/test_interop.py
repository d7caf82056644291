"""Hugging Face folders from Python: panorax.load, panorax.save."""

import dataclasses
import json

import chex
import jax
import pytest
from weights import QWEN, SIZES, drawn

import panorax
from panorax.core.errors import UserError
from panorax.data import tokenizer
from panorax.interop import hf_text, hf_weights, huggingface
from panorax.nets.decoders import gemma, llama
from panorax.ops.positions import Llama3Rope
from panorax.ops.sampling import Sampling


def test_an_export_of_a_new_model_has_its_context_and_sampling(tmp_path):
    tokens = tokenizer.BytePairs.train(["the cat sat on the mat"], 280)
    cfg = llama.Model(**SIZES | {"vocab": 280}, positions=Llama3Rope())
    sampling = Sampling(temperature=0.7, top_p=0.95, suppress_tokens=(3,))
    huggingface.save(tmp_path / "a", drawn(cfg), cfg, tokens, 64, None, sampling)
    read = lambda name: json.loads((tmp_path / "a" / f"{name}.json").read_text())
    assert read("config")["max_position_embeddings"] == 64
    assert read("tokenizer_config")["model_max_length"] == 64
    assert read("config")["bos_token_id"] == read("generation_config")["bos_token_id"] == tokens.end
    assert hf_text.sampling(tmp_path / "a") == sampling
    greedy = Sampling(temperature=0.0, no_repeat_ngram_size=3)
    huggingface.save(str(tmp_path / "b"), drawn(cfg), cfg, tokens, 64, None, greedy)
    assert hf_text.sampling(str(tmp_path / "b")) == greedy


def test_a_folder_is_loaded_and_saved_from_python(small, tmp_path):
    params, cfg, tokens = panorax.load(str(small))
    assert cfg == QWEN and tokens.prompt("the cat") == hf_text.tokenizer(small).prompt("the cat")
    chex.assert_trees_all_equal(params, hf_weights.load(str(small), QWEN))
    panorax.save(str(tmp_path / "copy"), params, cfg, tokens, context=64)
    copied, *rest = panorax.load(tmp_path / "copy", mesh="tensor=2")
    chex.assert_trees_all_equal(jax.device_get(copied), jax.device_get(params))
    assert rest[0] == cfg and rest[1].ends == tokens.ends
    half, half_cfg, _ = panorax.load(small, "bfloat16")
    assert half["embed"].dtype == half_cfg.dtype == "bfloat16"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        getattr(panorax, "lode")


@pytest.mark.parametrize(
    "cfg, message",
    [
        (llama.Model(vocab=257), "Bytes tokenizer has no Hugging Face form"),
        (dataclasses.replace(gemma.Model(), post_norms=False), "no Hugging Face family"),
    ],
)
def test_a_model_or_tokenizer_without_hugging_face_form_is_not_written(tmp_path, cfg, message):
    with pytest.raises(UserError, match=message):
        huggingface.save(tmp_path / "a", {}, cfg, tokenizer.Bytes(), 64)
    assert not (tmp_path / "a").exists()
