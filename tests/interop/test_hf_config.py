"""Published config.json files are read and written; errors are one line that names the key."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.interop import hf_config
from panorax.nets.decoders import decoder, gemma, llama, qwen
from panorax.nets.decoders.feed_forward import Gated
from panorax.nets.decoders.linear import Linear
from panorax.ops.positions import Alibi, DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())
CONFIGS = {name: entry["config"] for name, entry in PUBLISHED.items()}
LLAMA_2_7B = CONFIGS["Llama-2-7B"]
LLAMA_31_8B = CONFIGS["Llama-3.1-8B"]
LLAMA_3_ROPE = LLAMA_31_8B["rope_scaling"]
MISTRAL_V01 = CONFIGS["Mistral-7B-v0.1"]
QWEN2 = CONFIGS["Qwen2-0.5B"]
QWEN3_06B = CONFIGS["Qwen3-0.6B"]
GEMMA_2B = CONFIGS["Gemma-2B"]
GEMMA_2_2B = CONFIGS["Gemma-2-2b"]
GEMMA_2_9B = CONFIGS["Gemma-2-9b"]


def newer(config):
    """The same file as transformers 5 writes it."""
    rope = {"rope_theta": config.get("rope_theta", 10_000.0), "rope_type": "default"}
    rope |= config.get("rope_scaling") or {}
    older = ("rope_theta", "rope_scaling", "torch_dtype")
    kept = {name: x for name, x in config.items() if name not in older}
    return kept | {"rope_parameters": rope, "dtype": config["torch_dtype"]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_their_known_parameter_counts(name):
    config = CONFIGS[name]
    model = hf_config.read(config)
    assert spec.count(decoder.spec(model)) == PUBLISHED[name]["parameters"]
    assert hf_config.read(newer(config)) == model
    written = json.dumps(hf_config.write(model, config["max_position_embeddings"]))
    assert hf_config.read(json.loads(written)) == model


EXPECTED = {
    "Llama-2-7B": {"positions": Rope(10_000.0), "tied": False, "norm_eps": 1e-5},
    "Llama-3.2-1B": {
        "positions": Llama3Rope(500_000.0, factor=32.0, context=8192, fast=4.0, slow=1.0),
        "tied": True,
    },
    "Mistral-7B-v0.1": {"windows": (4096,)},
    "Mistral-7B-v0.3": {"windows": (0,)},
    "Qwen2.5-7B": {"windows": (0,), "bias": True, "head_norm": False},
    "Qwen3-0.6B": {"head_size": 128, "bias": False, "head_norm": True},
    "Gemma-2B": {"tied": True, "logit_cap": None, "query_scale": None},
    "Gemma-2-2b": {
        "windows": (4096, 0),
        "query_scale": 256.0,
        "attention_cap": 50.0,
        "logit_cap": 30.0,
        "tied": True,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_published_models_have_their_windows_rotary_embeddings_and_variants(name):
    model = hf_config.read(CONFIGS[name])
    assert {field: getattr(model, field) for field in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize(
    "rope, expected",
    [
        ({"type": "linear", "factor": 4}, LinearRope(10_000.0, 4.0)),
        ({"rope_type": "linear", "type": "linear", "factor": 4.0}, LinearRope(10_000.0, 4.0)),
        ({"rope_type": "dynamic", "factor": 2.0}, DynamicNTKRope(10_000.0, 2.0, context=4096)),
        (
            {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
            YarnRope(10_000.0, 4.0, context=1024),
        ),
        (
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "attention_factor": 1.5,
                "beta_fast": 16,
                "truncate": False,
            },
            YarnRope(10_000.0, 4.0, 4096, 16.0, attention=1.5, whole=False),
        ),
        (
            {"rope_type": "yarn", "factor": 4.0, "attention_factor": None, "mscale": None},
            YarnRope(10_000.0, 4.0, 4096),
        ),
        (LLAMA_3_ROPE, Llama3Rope(10_000.0, 8.0, 8192, 4.0, 1.0)),
    ],
)
def test_rotary_scaling_is_read_in_both_spellings(rope, expected):
    assert hf_config.read(LLAMA_2_7B | {"rope_scaling": rope}).positions == expected
    newer_rope = {"rope_scaling": None, "rope_parameters": rope | {"rope_theta": 5e5}}
    assert hf_config.read(LLAMA_2_7B | newer_rope).positions == dataclasses.replace(
        expected, theta=5e5
    )


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
def test_qwen_has_windows_in_its_sliding_layers(changed, windows):
    assert hf_config.read(QWEN2 | changed).windows == windows


def refused(config) -> str:
    """The one-line error for a config."""
    with pytest.raises(UserError) as error:
        hf_config.read(config)
    message = str(error.value)
    assert message.isprintable() and len(message) < 400
    return message


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
            "rope_scaling has unknown keys: mscale",
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
            "rope_scaling and rope_parameters contradict each other",
        ),
        (LLAMA_2_7B | {"rope_scaling": []}, "rope_scaling must be an object, got []"),
        (QWEN3_06B | {"attention_bias": True}, "attention_bias True is not supported, only False"),
        (
            QWEN2 | {"layer_types": ["sliding_attention"] * 24},
            "sliding_window is null, or use_sliding_window is false",
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
            "unknown keys: quantization_config",
        ),
    ],
)
def test_an_error_names_the_wrong_key(config, message):
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
    config = CONFIGS[name]
    keys = config.keys() - hf_config.WITHOUT_EFFECT | {"layer_types"}
    key = data.draw(st.sampled_from(sorted(keys)))
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
    config = CONFIGS[name]
    known = config.keys() | hf_config.WITHOUT_EFFECT
    if key not in known:
        assert "".join(c if c.isprintable() else " " for c in key) in refused(config | {key: value})


SIZES = st.fixed_dictionaries(
    {
        "vocab": st.integers(1, 40),
        "d_model": st.sampled_from([8, 24]),
        "n_layers": st.integers(1, 5),
        "n_heads": st.sampled_from([2, 4]),
        "n_kv_heads": st.sampled_from([1, 2]),
        "d_ff": st.integers(1, 9),
        "head_dim": st.sampled_from([None, 2, 8, 256]),
        "tied": st.booleans(),
        "norm_eps": st.sampled_from([1e-6, 1e-5]),
    }
)
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


def models(family, **fields):
    """Models of a family with all fields drawn."""

    def build(sizes, windows, **rest):
        return family.Model(**sizes, windows=windows[: sizes["n_layers"]], **rest)

    return st.builds(build, SIZES, positions=ROPES, windows=WINDOWS, **fields)


MODELS = st.one_of(
    models(llama),
    models(qwen, bias=st.booleans(), head_norm=st.booleans()),
    models(
        gemma,
        post_norms=st.booleans(),
        query_scale=st.sampled_from([None, 16.0, 16.5]),
        attention_cap=st.sampled_from([None, 5.0]),
        logit_cap=st.sampled_from([None, 5.0]),
    ),
)


def spelled_out(model):
    """A model with explicit defaults, so that models that compute the same are equal."""
    windows = tuple((model.windows * model.n_layers)[: model.n_layers])
    explicit = dataclasses.replace(model, head_dim=model.head_size, windows=windows)
    if isinstance(model, gemma.Model):
        scale = model.query_scale or float(model.head_size)
        explicit = dataclasses.replace(explicit, query_scale=scale)
    return explicit


@given(MODELS)
def test_a_written_model_is_read_as_the_same_model(model):
    try:
        written = hf_config.write(model, 512)
    except UserError:
        return
    assert spelled_out(hf_config.read(json.loads(json.dumps(written)))) == spelled_out(model)


@pytest.mark.parametrize(
    "model, message",
    [
        (llama.Model(windows=(0, 4)), "mixed windows need Qwen or Gemma 2"),
        (qwen.Model(windows=(0, 4, 8)), "windows of several widths, got 4 and 8"),
        (qwen.Model(bias=True, head_norm=True), "Qwen needs exactly one of bias and head-norm"),
        (gemma.Model(query_scale=16.5), "a whole query_pre_attn_scalar"),
        (gemma.Model(post_norms=False), "no Hugging Face family"),
        (llama.Model(positions=Alibi()), "model.positions other than a rotation"),
        (llama.Model(attention=Linear()), "sinks, or attention or a feed-forward network"),
        (llama.Model(windows=(4,), sinks=1), "sinks, or attention or a feed-forward network"),
        (gemma.Model(feed_forward=Gated()), "sinks, or attention or a feed-forward network"),
        (llama.Model(d_model=24, n_heads=16, head_dim=4), "needs an n-heads that divides d-model"),
    ],
)
def test_a_model_without_a_family_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        hf_config.write(model, 512)


def test_gemma_2_has_a_window_even_if_no_layer_slides():
    written = hf_config.write(gemma.Model(n_layers=2), 512)  # transformers needs one
    assert written["sliding_window"] == 4096 and written["layer_types"] == ["full_attention"] * 2
