"""config.json as people have it, of the published models; anything else in it is one line that names the key."""

import dataclasses
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.interop import hf_config
from panorax.nets.decoders import decoder, gemma, llama, qwen
from panorax.ops.positions import DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

COMMON = {"attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True}
LLAMA_3_ROPE = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
LLAMA_2_7B = {
    "_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
    "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.31.0.dev0", "use_cache": True, "vocab_size": 32000,
}  # fmt: skip
LLAMA_31_8B = COMMON | {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": LLAMA_3_ROPE, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0", "vocab_size": 128256,
}  # fmt: skip
LLAMA_32_1B = LLAMA_31_8B | {
    "head_dim": 64, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "rope_scaling": LLAMA_3_ROPE | {"factor": 32.0},
    "tie_word_embeddings": True, "transformers_version": "4.45.0.dev0",
}  # fmt: skip
MISTRAL_V01 = {
    "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": True, "vocab_size": 32000,
}  # fmt: skip
MISTRAL_V03 = MISTRAL_V01 | {
    "attention_dropout": 0.0,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "transformers_version": "4.42.0.dev0",
    "vocab_size": 32768,
}
QWEN2 = COMMON | {
    "architectures": ["Qwen2ForCausalLM"], "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896,
    "intermediate_size": 4864, "max_position_embeddings": 131072, "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
QWEN25_7B = QWEN2 | {
    "hidden_size": 3584, "intermediate_size": 18944, "max_window_layers": 28, "num_attention_heads": 28, "num_hidden_layers": 28,
    "num_key_value_heads": 4, "tie_word_embeddings": False, "vocab_size": 152064,
}  # fmt: skip
QWEN3_06B = COMMON | {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
    "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0", "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
QWEN3_8B = QWEN3_06B | {
    "hidden_size": 4096, "intermediate_size": 12288, "max_window_layers": 36, "num_attention_heads": 32, "num_hidden_layers": 36,
    "tie_word_embeddings": False,
}  # fmt: skip
GEMMA_2B = COMMON | {
    "architectures": ["GemmaForCausalLM"], "attention_bias": False, "bos_token_id": 2, "eos_token_id": 1, "head_dim": 256, "hidden_act": "gelu",
    "hidden_activation": None, "hidden_size": 2048, "intermediate_size": 16384, "max_position_embeddings": 8192, "model_type": "gemma",
    "num_attention_heads": 8, "num_hidden_layers": 18, "num_key_value_heads": 1, "pad_token_id": 0, "rms_norm_eps": 1e-06, "rope_scaling": None,
    "rope_theta": 10000.0, "torch_dtype": "bfloat16", "transformers_version": "4.38.0.dev0", "vocab_size": 256000,
}  # fmt: skip
GEMMA_2_2B = COMMON | {
    "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attn_logit_softcapping": 50.0, "bos_token_id": 2,
    "cache_implementation": "hybrid", "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216, "max_position_embeddings": 8192,
    "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "float32",
    "transformers_version": "4.42.4", "vocab_size": 256000,
}  # fmt: skip
GEMMA_2_9B = GEMMA_2_2B | {
    "hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16, "num_hidden_layers": 42, "num_key_value_heads": 8,
    "sliding_window_size": 4096,
}  # fmt: skip
PUBLISHED = {
    "Llama-2-7B": (LLAMA_2_7B, 6_738_415_616),
    "Llama-3.1-8B": (LLAMA_31_8B, 8_030_261_248),
    "Llama-3.2-1B": (LLAMA_32_1B, 1_235_814_400),
    "Mistral-7B-v0.1": (MISTRAL_V01, 7_241_732_096),
    "Mistral-7B-v0.3": (MISTRAL_V03, 7_248_023_552),
    "Qwen2-0.5B": (QWEN2, 494_032_768),
    "Qwen2.5-7B": (QWEN25_7B, 7_615_616_512),
    "Qwen3-0.6B": (QWEN3_06B, 596_049_920),
    "Qwen3-8B": (QWEN3_8B, 8_190_735_360),
    "Gemma-2B": (GEMMA_2B, 2_506_172_416),
    "Gemma-2-2b": (GEMMA_2_2B, 2_614_341_888),
    "Gemma-2-9b": (GEMMA_2_9B, 9_241_705_984),
}


def newer(config):
    """The same file as version 5 of transformers writes it."""
    rope = {"rope_theta": config.get("rope_theta", 10_000.0), "rope_type": "default"} | (
        config.get("rope_scaling") or {}
    )
    kept = {
        name: x
        for name, x in config.items()
        if name not in ("rope_theta", "rope_scaling", "torch_dtype")
    }
    return kept | {"rope_parameters": rope, "dtype": config["torch_dtype"]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_parameters_they_are_known_for(name):
    config, parameters = PUBLISHED[name]
    model = hf_config.read(config)
    assert spec.count(decoder.spec(model)) == parameters
    assert hf_config.read(newer(config)) == model
    assert (
        hf_config.read(
            json.loads(json.dumps(hf_config.write(model, config["max_position_embeddings"])))
        )
        == model
    )


def test_published_models_attend_and_turn_as_they_do():
    read = {name: hf_config.read(config) for name, (config, _) in PUBLISHED.items()}
    assert (
        read["Llama-3.2-1B"].rope
        == Llama3Rope(500_000.0, factor=32.0, context=8192, fast=4.0, slow=1.0)
        and read["Llama-3.2-1B"].tied
    )
    assert (
        read["Llama-2-7B"].rope == Rope(10_000.0)
        and not read["Llama-2-7B"].tied
        and read["Llama-2-7B"].norm_eps == 1e-5
    )
    assert read["Mistral-7B-v0.1"].windows == (4096,) and read["Mistral-7B-v0.3"].windows == (0,)
    assert (
        read["Qwen2.5-7B"].windows == (0,)
        and read["Qwen2.5-7B"].bias
        and not read["Qwen2.5-7B"].head_norm
    )
    assert (
        read["Qwen3-0.6B"].head_size == 128
        and read["Qwen3-0.6B"].head_norm
        and not read["Qwen3-0.6B"].bias
    )
    assert (
        read["Gemma-2B"].tied
        and read["Gemma-2B"].logit_cap is None
        and read["Gemma-2B"].query_scale is None
    )
    two = read["Gemma-2-2b"]
    assert (two.windows, two.query_scale, two.attention_cap, two.logit_cap, two.tied) == (
        (4096, 0),
        256.0,
        50.0,
        30.0,
        True,
    )


@pytest.mark.parametrize(
    "rope, expected",
    [
        ({"type": "linear", "factor": 4}, LinearRope(10_000.0, 4.0)),
        ({"rope_type": "linear", "type": "linear", "factor": 4.0}, LinearRope(10_000.0, 4.0)),
        ({"rope_type": "dynamic", "factor": 2.0}, DynamicNTKRope(10_000.0, 2.0, context=4096)),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, YarnRope(10_000.0, 4.0, context=1024)),
        ({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5, "beta_fast": 16, "truncate": False}, YarnRope(10_000.0, 4.0, 4096, 16.0, attention=1.5, whole=False)),
        ({"rope_type": "yarn", "factor": 4.0, "attention_factor": None, "mscale": None}, YarnRope(10_000.0, 4.0, 4096)),
        (LLAMA_3_ROPE, Llama3Rope(10_000.0, 8.0, 8192, 4.0, 1.0)),
    ],
)  # fmt: skip
def test_rotary_scaling_in_both_spellings(rope, expected):
    assert hf_config.read(LLAMA_2_7B | {"rope_scaling": rope}).rope == expected
    assert hf_config.read(
        {**LLAMA_2_7B, "rope_scaling": None, "rope_parameters": rope | {"rope_theta": 5e5}}
    ).rope == dataclasses.replace(expected, theta=5e5)


@pytest.mark.parametrize(
    "changed, windows",
    [
        (
            {"use_sliding_window": True, "max_window_layers": 21, "sliding_window": 64},
            (0,) * 21 + (64,) * 3,
        ),
        ({"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 64}, (64,)),
        ({"use_sliding_window": True, "max_window_layers": 30, "sliding_window": 64}, (0,)),
        (
            {
                "use_sliding_window": True,
                "sliding_window": 64,
                "layer_types": ["full_attention", "sliding_attention"] * 12,
            },
            (0, 64),
        ),
        (
            {
                "use_sliding_window": False,
                "sliding_window": 64,
                "layer_types": ["full_attention"] * 24,
            },
            (0,),
        ),
    ],
)
def test_which_layers_of_qwen_slide(changed, windows):
    assert hf_config.read(QWEN2 | changed).windows == windows


def refused(config) -> str:
    """The one line with which a config is refused."""
    with pytest.raises(UserError) as said:
        hf_config.read(config)
    assert (
        "\n" not in str(said.value) and str(said.value).isprintable() and len(str(said.value)) < 400
    )
    return str(said.value)


@pytest.mark.parametrize(
    "config, message",
    [
        ([], "config.json must be an object"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported, only llama"),
        ({"model_type": ["llama"]}, "model_type ['llama'] is not supported"),
        ({"model_type": "llama"}, "num_attention_heads must be a positive integer"),
        (LLAMA_2_7B | {"attention_bias": True}, "attention_bias True is not supported, only False"),
        (LLAMA_2_7B | {"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported, only 'silu'"),
        (
            LLAMA_2_7B | {"tie_word_embeddings": "no"},
            "tie_word_embeddings must be true or false, got 'no'",
        ),
        (
            LLAMA_2_7B | {"num_key_value_heads": 5},
            "num_key_value_heads 5 must divide num_attention_heads 32",
        ),
        (
            LLAMA_2_7B | {"num_hidden_layers": 2**31 - 1},
            "num_hidden_layers must be a positive integer, at most 4096",
        ),
        (LLAMA_2_7B | {"rms_norm_eps": 10**400}, "rms_norm_eps must be a positive number"),
        (
            LLAMA_2_7B | {"rope_scaling": {"rope_type": "longrope"}},
            "rope_scaling: rope_type 'longrope' is not supported",
        ),
        (
            LLAMA_2_7B | {"rope_scaling": {"rope_type": "linear"}},
            "rope_scaling: factor must be a positive number, got None",
        ),
        (
            LLAMA_2_7B | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            "high_freq_factor must be a positive number, got None",
        ),
        (
            LLAMA_2_7B | {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mscale": 1.0}},
            "rope_scaling has keys whose meaning is not known here: mscale",
        ),
        (
            LLAMA_2_7B | {"rope_scaling": LLAMA_3_ROPE | {"high_freq_factor": 1.0}},
            "high_freq_factor 1.0 must be above low_freq_factor 1.0",
        ),
        (
            LLAMA_2_7B | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "rope_theta": 1.0},
            "rope_theta must be above 1",
        ),
        (
            LLAMA_2_7B
            | {
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "rope_parameters": {"rope_theta": 5.0},
            },
            "say different things",
        ),
        (LLAMA_2_7B | {"rope_scaling": []}, "rope_scaling must be an object, got []"),
        (QWEN3_06B | {"attention_bias": True}, "attention_bias True is not supported, only False"),
        (
            QWEN2 | {"layer_types": ["sliding_attention"] * 24},
            "sliding_window is null, or not used",
        ),
        (
            QWEN2 | {"layer_types": ["chunked_attention"] * 24},
            "layer_types must name full_attention or sliding_attention for each of 24 layers",
        ),
        (QWEN2 | {"layer_types": []}, "layer_types must name"),
        (GEMMA_2_2B | {"sliding_window": None}, "sliding_window is null"),
        (GEMMA_2_9B | {"sliding_window_size": 2048}, "sliding_window_size 2048 is not supported"),
        (
            GEMMA_2B | {"use_bidirectional_attention": True},
            "use_bidirectional_attention True is not supported",
        ),
        (
            GEMMA_2_2B | {"query_pre_attn_scalar": None},
            "query_pre_attn_scalar must be a positive number",
        ),
        (MISTRAL_V01 | {"sliding_window": -4}, "sliding_window must be a positive integer"),
        (
            LLAMA_2_7B | {"quantization_config": {}},
            "keys whose meaning is not known here: quantization_config",
        ),
    ],
)
def test_what_is_wrong_is_named(config, message):
    assert message in refused(config)


NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([2**31, -(2**31), 10**30, 10**400])
    | st.floats(allow_nan=True)
    | st.booleans()
)
LEAVES = (
    st.none()
    | NUMBERS
    | st.text(max_size=4)
    | st.sampled_from(["full_attention", "llama3", "yarn", "\ud800", "a\nb"])
)
VALUES = st.recursive(
    LEAVES,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize(
    "name",
    ["Llama-3.1-8B", "Mistral-7B-v0.1", "Qwen2-0.5B", "Qwen3-0.6B", "Gemma-2B", "Gemma-2-2b"],
)
@given(data=st.data())
def test_any_value_of_any_key_is_read_or_refused_by_name(name, data):
    config, _ = PUBLISHED[name]
    key = data.draw(
        st.sampled_from(sorted(config.keys() - hf_config.WITHOUT_EFFECT | {"layer_types"}))
    )
    try:
        hf_config.read(config | {key: data.draw(VALUES)})
    except UserError as error:
        assert key in str(error) and str(error).isprintable()


@given(st.sampled_from(sorted(LLAMA_3_ROPE)), VALUES)
@example("rope_type", [])
def test_any_value_of_rotary_scaling_is_read_or_refused_by_name(key, value):
    try:
        hf_config.read(LLAMA_31_8B | {"rope_scaling": LLAMA_3_ROPE | {key: value}})
    except UserError as error:
        assert "rope_scaling" in str(error) and str(error).isprintable()


@given(st.sampled_from(sorted(PUBLISHED)), st.text(min_size=1, max_size=20), VALUES)
@example("Qwen3-8B", "num_experts", 8)
@example("Llama-2-7B", "rope_interleaved", True)
@example("Llama-2-7B", "a\nb", None)
def test_an_unknown_key_is_an_error(name, key, value):
    config, _ = PUBLISHED[name]
    known = config.keys() | hf_config.WITHOUT_EFFECT
    if key not in known:
        assert "".join(c if c.isprintable() else " " for c in key) in refused(config | {key: value})


SIZES = st.fixed_dictionaries({
    "vocab": st.integers(1, 40), "d_model": st.sampled_from([8, 24]), "n_layers": st.integers(1, 5), "n_heads": st.sampled_from([2, 4]),
    "n_kv_heads": st.sampled_from([1, 2]), "d_ff": st.integers(1, 9), "head_dim": st.sampled_from([None, 2, 8, 256]), "tied": st.booleans(),
    "norm_eps": st.sampled_from([1e-6, 1e-5]),
})  # fmt: skip
FACTOR, CONTEXT = st.floats(1, 64), st.integers(1, 10_000)
ROPES = st.one_of(
    st.builds(Rope, st.floats(2, 1e6)),
    st.builds(LinearRope, st.floats(2, 1e6), FACTOR),
    st.builds(DynamicNTKRope, st.floats(2, 1e6), FACTOR, CONTEXT),
    st.builds(
        YarnRope,
        st.floats(2, 1e6),
        FACTOR,
        CONTEXT,
        st.floats(8, 64),
        st.floats(0.5, 4),
        st.none() | st.floats(0.5, 2),
        st.booleans(),
    ),
    st.builds(Llama3Rope, st.floats(2, 1e6), FACTOR, CONTEXT, st.floats(4, 8), st.floats(0.5, 2)),
)
WINDOWS = st.lists(st.sampled_from([0, 0, 7, 7, 9]), min_size=1, max_size=6).map(tuple)
MODELS = st.one_of(
    st.builds(lambda sizes, **rest: llama.Model(**sizes, **rest), SIZES, rope=ROPES, windows=WINDOWS),
    st.builds(lambda sizes, **rest: qwen.Model(**sizes, **rest), SIZES, rope=ROPES, windows=WINDOWS, bias=st.booleans(), head_norm=st.booleans()),
    st.builds(
        lambda sizes, **rest: gemma.Model(**sizes, **rest), SIZES, rope=ROPES, windows=WINDOWS, post_norms=st.booleans(),
        query_scale=st.sampled_from([None, 16.0, 16.5]), attention_cap=st.sampled_from([None, 5.0]), logit_cap=st.sampled_from([None, 5.0]),
    ),
)  # fmt: skip


def spelled_out(model):
    """A model with its defaults written out, to be compared by what it computes."""
    windows = tuple((model.windows * model.n_layers)[: model.n_layers])
    scale = (
        {"query_scale": model.query_scale or float(model.head_size)}
        if isinstance(model, gemma.Model)
        else {}
    )
    return dataclasses.replace(model, head_dim=model.head_size, windows=windows, **scale)


@given(MODELS)
def test_what_is_written_is_read_as_the_same_model(model):
    try:
        written = hf_config.write(model, 512)
    except UserError:
        return
    assert spelled_out(hf_config.read(json.loads(json.dumps(written)))) == spelled_out(model)


@pytest.mark.parametrize(
    "model, message",
    [
        (llama.Model(windows=(0, 4)), "mixed windows need Qwen or Gemma 2"),
        (qwen.Model(windows=(0, 4, 8)), "windows of several widths, as 4 and 8 are"),
        (qwen.Model(bias=True, head_norm=True), "Qwen one of bias and head-norm"),
        (gemma.Model(query_scale=16.5), "a whole query_pre_attn_scalar"),
        (gemma.Model(post_norms=False), "no Hugging Face family"),
        (llama.Model(d_model=24, n_heads=16, head_dim=4), "wants n-heads to divide d-model"),
    ],
)
def test_a_model_without_a_family_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        hf_config.write(model, 512)


def test_gemma_2_has_a_window_even_where_no_layer_slides():
    written = hf_config.write(gemma.Model(n_layers=2), 512)  # theirs cannot run without one
    assert written["sliding_window"] == 4096 and written["layer_types"] == ["full_attention"] * 2
