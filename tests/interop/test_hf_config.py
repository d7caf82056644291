import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.interop import hf_config
from panorax.lm import gemma, llama, qwen
from panorax.nets import decoder
from panorax.ops.positions import DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
OLD = {"torch_dtype": "bfloat16", "transformers_version": "4.40.0", "use_cache": True, "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2}


def published(kind, shape, **more):
    return {"model_type": kind, "architectures": ["X"], **OLD, **dict(zip(SHAPE, shape)), **more}


LLAMA31 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
SILU = {"hidden_act": "silu"}
PUBLISHED = {
    "llama2_7b": (
        published("llama", (32000, 4096, 11008, 32, 32, 32), **SILU, rms_norm_eps=1e-5, rope_scaling=None, pretraining_tp=1, tie_word_embeddings=False),
        6_738_415_616,
    ),
    "llama31_8b": (
        published("llama", (128256, 4096, 14336, 32, 32, 8), **SILU, rope_theta=500000.0, rope_scaling=LLAMA31, attention_bias=False, mlp_bias=False),
        8_030_261_248,
    ),
    "llama32_1b": (
        published("llama", (128256, 2048, 8192, 16, 32, 8), **SILU, head_dim=64, rope_theta=500000.0, rope_scaling=LLAMA31 | {"factor": 32.0}, tie_word_embeddings=True),
        1_235_814_400,
    ),
    "mistral_7b_v1": (published("mistral", (32000, 4096, 14336, 32, 32, 8), **SILU, sliding_window=4096), 7_241_732_096),
    "mistral_7b_v3": (published("mistral", (32768, 4096, 14336, 32, 32, 8), **SILU, sliding_window=None, rope_theta=1e6), 7_248_023_552),
    "qwen2_05b": (
        published(
            "qwen2", (151936, 896, 4864, 24, 14, 2), **SILU, rope_theta=1e6, use_sliding_window=False, sliding_window=32768, max_window_layers=24, tie_word_embeddings=True
        ),
        494_032_768,
    ),
    "qwen3_06b": (
        published(
            "qwen3", (151936, 1024, 3072, 28, 16, 8), **SILU, head_dim=128, attention_bias=False, rope_theta=1000000, rope_scaling=None,
            use_sliding_window=False, sliding_window=None, max_window_layers=28, tie_word_embeddings=True,
        ),
        596_049_920,
    ),
    "gemma_2b": (published("gemma", (256000, 2048, 16384, 18, 8, 1), hidden_act="gelu", head_dim=256, hidden_activation=None), 2_506_172_416),
    "gemma2_2b": (
        published(
            "gemma2", (256000, 2304, 9216, 26, 8, 4), hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh", head_dim=256,
            query_pre_attn_scalar=256, sliding_window=4096, attn_logit_softcapping=50.0, final_logit_softcapping=30.0, cache_implementation="hybrid",
        ),
        2_614_341_888,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_parameters_and_come_back(name):
    config, parameters = PUBLISHED[name]
    model = hf_config.read(config)
    assert core_spec.count(decoder.spec(model)) == parameters
    assert hf_config.read(hf_config.write(model, 8192)) == model


def test_windows_are_those_of_the_layers():
    read = lambda name, **more: hf_config.read(PUBLISHED[name][0] | more)
    assert read("mistral_7b_v1").windows == (4096,) and read("mistral_7b_v3").windows == (0,)
    assert read("gemma2_2b").windows == (4096, 0)
    assert read("qwen2_05b", use_sliding_window=True, max_window_layers=21).windows == (0,) * 21 + (32768,) * 3
    assert read("gemma2_2b", num_hidden_layers=3, layer_types=["full_attention", "full_attention", "sliding_attention"]).windows == (0, 0, 4096)


@pytest.mark.parametrize(
    "said, rope",
    [
        ({"rope_theta": 5e5}, Rope(5e5)),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, LinearRope(1e4, 2.0)),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 2e4, "factor": 2.0}, "max_position_embeddings": 4096}, DynamicNTKRope(2e4, 2.0, 4096)),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, "rope_theta": 1e6}, YarnRope(1e6, 4.0, 32768)),
        ({"rope_scaling": LLAMA31, "rope_theta": 5e5}, Llama3Rope(5e5, 8.0, 8192, 4.0, 1.0)),
    ],
)
def test_both_spellings_of_rotary_scaling(said, rope):
    assert hf_config.read(PUBLISHED["llama2_7b"][0] | {"rope_scaling": None} | said).rope == rope


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported, only llama"),
        ({"n_routed_experts": 8, "quantization_config": {}}, "not known here: n_routed_experts, quantization_config"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported, only 'silu'"),
        ({"attention_bias": True}, "attention_bias True is not supported"),
        ({"rope_scaling": {"type": "longrope", "factor": 2.0}}, "rope_type 'longrope' is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0, "wobble": 3}}, "not known here: wobble"),
        ({"hidden_size": "big"}, "hidden_size must be a positive integer, got 'big'"),
        ({"num_key_value_heads": 5}, "n-kv-heads 5 must divide"),
        ({"rms_norm_eps": -1}, "norm-eps must be above 0"),
    ],
)
def test_what_is_not_understood_is_said(changed, message):
    with pytest.raises(UserError, match=message) as raised:
        hf_config.read(PUBLISHED["llama2_7b"][0] | changed)
    assert "\n" not in str(raised.value)


VALUES = st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=True) | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)


@settings(max_examples=400)
@given(st.sampled_from(sorted(PUBLISHED)), st.data())
def test_any_config_is_read_or_refused_in_one_line(name, data):
    config = dict(PUBLISHED[name][0])
    for _ in range(data.draw(st.integers(1, 3))):
        config[data.draw(st.sampled_from([*config, "rope_parameters", "layer_types", "head_dim", "surprise"]))] = data.draw(VALUES)
    try:
        model = hf_config.read(config)
    except UserError as error:
        assert "config.json" in str(error) and "\n" not in str(error)
    else:
        assert isinstance(model, llama.Model)


@pytest.mark.parametrize(
    "model",
    [
        llama.Model(windows=(4, 0)),
        qwen.Model(bias=True, head_norm=True),
        gemma.Model(post_norms=False, windows=(4,)),
    ],
)
def test_a_model_that_no_family_of_theirs_is_like_is_not_written(model):
    with pytest.raises(UserError, match="no Hugging Face family"):
        hf_config.write(model, 128)
