"""A Hugging Face config.json as one of our models, and back: Llama 2 and 3, Mistral, Qwen 2 and 3, Gemma 1 and 2.

Every key is either used, or known to change nothing that is computed here; any other is an error rather than a model that is slightly wrong.
Keys that are absent have the defaults of the `transformers` library. Both spellings of rotary scaling are read (`rope_scaling`, and since
its version 5 `rope_parameters`), the newer one is written.
"""

import dataclasses
from collections.abc import Callable

from panorax.core.errors import UserError
from panorax.lm import gemma, llama, qwen
from panorax.ops.positions import DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

WITHOUT_EFFECT = {
    "architectures", "model_type", "transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache", "initializer_range",
    "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "pretraining_tp", "max_position_embeddings",
    "cache_implementation", "_attn_implementation", "return_dict", "output_attentions", "output_hidden_states", "id2label", "label2id",
}  # fmt: skip
SIZES = {
    "vocab": "vocab_size",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "d_ff": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "tied": "tie_word_embeddings",
    "head_dim": "head_dim",
}
ROPES = {  # ours -> theirs, for each rope_type
    "default": (Rope, {}),
    "linear": (LinearRope, {"factor": "factor"}),
    "dynamic": (DynamicNTKRope, {"factor": "factor", "context": "max_position_embeddings"}),
    "yarn": (
        YarnRope,
        {"factor": "factor", "context": "original_max_position_embeddings", "fast": "beta_fast", "slow": "beta_slow", "attention": "attention_factor", "whole": "truncate"},
    ),
    "llama3": (Llama3Rope, {"factor": "factor", "context": "original_max_position_embeddings", "fast": "high_freq_factor", "slow": "low_freq_factor"}),
}  # fmt: skip


class Keys:
    """A config.json being read: what is taken is used, what is left at the end must be without effect."""

    def __init__(self, values: dict):
        self._left = dict(values)

    def take(self, name: str, default=None):
        """The value of a key, `default` where it is absent."""
        return self._left.pop(name, default)

    def size(self, name: str, default: int | None = None) -> int:
        """A positive integer that must be there unless it has a default."""
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{name} must be a positive integer, got {value!r}")
        return value

    def must(self, name: str, *allowed) -> None:
        """Raise UserError where a key has a value that is not built here."""
        value = self.take(name, allowed[0])
        if value not in allowed:
            raise UserError(f"{name} {value!r} is not supported, only {' or '.join(map(repr, allowed))}")

    def done(self) -> None:
        unknown = sorted(self._left.keys() - WITHOUT_EFFECT)
        if unknown:
            raise UserError(f"keys whose meaning is not known here: {', '.join(unknown)}")


def read(config: dict) -> llama.Model:
    """The model that a config.json describes. Raises UserError naming what is missing, of a wrong kind, or not supported."""
    kind, keys = str(config.get("model_type")), Keys(config)
    try:
        if kind not in READERS:
            raise UserError(f"model_type {kind!r} is not supported, only {', '.join(READERS)}")
        model = READERS[kind](keys)
        keys.done()
    except (UserError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"config.json: {error}") from error
    return model


def write(model: llama.Model, context: int) -> dict:
    """The config.json of a model trained on texts of `context` tokens. Raises UserError where no family of theirs is like it."""
    kind = model_type(model)
    said = {theirs: getattr(model, ours) for ours, theirs in SIZES.items()} | {"head_dim": model.head_size}
    said |= {"model_type": kind, "architectures": [ARCHITECTURES[kind]], "max_position_embeddings": getattr(model.rope, "context", context)}
    rope_type, (_, names) = next((name, rope) for name, rope in ROPES.items() if rope[0] is type(model.rope))
    rope = {theirs: getattr(model.rope, ours) for ours, theirs in names.items() if theirs != "max_position_embeddings"}
    said["rope_parameters"] = {"rope_type": rope_type, "rope_theta": model.rope.theta} | {k: v for k, v in rope.items() if v is not None}
    return said | WRITERS[kind](model)


def model_type(model: llama.Model) -> str:
    """The name of their family that computes what `model` computes."""
    uniform = len(set(model.windows)) == 1
    if type(model) is llama.Model and uniform:
        return "mistral" if model.windows[0] else "llama"
    if type(model) is qwen.Model and model.bias != model.head_norm:
        return "qwen2" if model.bias else "qwen3"
    if type(model) is gemma.Model and model.post_norms:
        return "gemma2"
    if type(model) is gemma.Model and model.windows == (0,) and model.attention_cap is model.logit_cap is model.query_scale is None:
        return "gemma"
    raise UserError("no Hugging Face family computes what this model computes: mixed windows need Qwen or Gemma 2, Qwen one of bias and head-norm")


def _sizes(keys: Keys, kv_heads: int | None = None, head_dim: int | None = None, tied: bool = False) -> dict:
    """Fields that all families share, with the defaults of this one; `head_dim` is None where it is the width over the heads."""
    heads, width = keys.size("num_attention_heads"), keys.size("hidden_size")
    size = keys.take("head_dim", head_dim)
    return {
        "vocab": keys.size("vocab_size"),
        "d_model": width,
        "n_layers": keys.size("num_hidden_layers"),
        "n_heads": heads,
        "n_kv_heads": keys.take("num_key_value_heads", kv_heads) or heads,
        "d_ff": keys.size("intermediate_size"),
        "norm_eps": float(keys.take("rms_norm_eps", 1e-6)),
        "tied": bool(keys.take("tie_word_embeddings", tied)),
        "head_dim": None if size is None or size * heads == width else size,
        "rope": _rope(keys),
    }


def _rope(keys: Keys) -> Rope:
    """`rope_theta` and `rope_scaling`, or `rope_parameters`."""
    theta, context = keys.take("rope_theta", 10_000.0), keys.take("max_position_embeddings", 2048)
    said = {"rope_theta": theta, "max_position_embeddings": context} | (keys.take("rope_scaling") or {}) | (keys.take("rope_parameters") or {})
    kind = str(said.pop("rope_type", said.pop("type", "default")))
    said.pop("type", None)
    if kind not in ROPES:
        raise UserError(f"rope_type {kind!r} is not supported, only {', '.join(ROPES)}")
    rope, names = ROPES[kind]
    if kind in ("yarn", "llama3"):
        said.setdefault("original_max_position_embeddings", context)
    whole = {f.name for f in dataclasses.fields(rope) if f.type is bool or f.name == "context"}
    values = {ours: said.pop(theirs) for ours, theirs in names.items() if said.get(theirs) is not None}
    values = {name: x if name in whole else float(x) for name, x in values.items()}
    theta = float(said.pop("rope_theta"))
    unknown = sorted(name for name in said.keys() - {"max_position_embeddings"} if said[name] is not None)
    if unknown:
        raise UserError(f"rope_type {kind!r} has keys whose meaning is not known here: {', '.join(unknown)}")
    return rope(theta, **values)


def _windows(keys: Keys, window: int, default: Callable[[int], bool], layers: int) -> tuple[int, ...]:
    """One window for each layer, 0 for all before it: those that `layer_types` calls sliding, or `default(layer)`."""
    types = keys.take("layer_types") or ["sliding_attention" if default(l) else "full_attention" for l in range(layers)]
    unknown = set(types) - {"sliding_attention", "full_attention"}
    if unknown or len(types) != layers:
        raise UserError(f"layer_types must name full_attention or sliding_attention for each of {layers} layers")
    windows = tuple(window if kind == "sliding_attention" else 0 for kind in types)
    return windows[: next(n for n in range(1, layers + 1) if (windows[:n] * layers)[:layers] == windows)]  # the pattern that repeats


def _read_llama(keys: Keys) -> llama.Model:
    keys.must("hidden_act", "silu")
    keys.must("attention_bias", False)
    keys.must("mlp_bias", False)
    return llama.Model(**_sizes(keys))


def _read_mistral(keys: Keys) -> llama.Model:
    keys.must("hidden_act", "silu")
    return llama.Model(**_sizes(keys, kv_heads=8), windows=(keys.take("sliding_window", 4096) or 0,))


def _read_qwen(keys: Keys, bias: bool, head_dim: int | None) -> qwen.Model:
    keys.must("hidden_act", "silu")
    keys.must("attention_bias", bias, False)
    sizes, first = _sizes(keys, kv_heads=32, head_dim=head_dim), keys.take("max_window_layers", 28)
    slides, window = keys.take("use_sliding_window", False), keys.take("sliding_window", 4096)
    windows = _windows(keys, window or 0, lambda l: slides and l >= first, sizes["n_layers"])
    return qwen.Model(**sizes, windows=windows, bias=bias, head_norm=not bias)


def _read_gemma(keys: Keys) -> gemma.Model:
    keys.must("hidden_act", "gelu_pytorch_tanh", "gelu")  # "gelu" in the first releases meant the same
    keys.must("hidden_activation", None, "gelu_pytorch_tanh")
    keys.must("attention_bias", False)
    keys.must("use_bidirectional_attention", None, False)
    sizes = _sizes(keys, kv_heads=16, head_dim=256, tied=True)
    return gemma.Model(**sizes, post_norms=False, attention_cap=None, logit_cap=None)


def _read_gemma2(keys: Keys) -> gemma.Model:
    keys.must("hidden_act", "gelu_pytorch_tanh")
    keys.must("hidden_activation", "gelu_pytorch_tanh")
    keys.must("attention_bias", False)
    keys.must("use_bidirectional_attention", None, False)
    sizes = _sizes(keys, kv_heads=4, head_dim=256, tied=True)
    windows = _windows(keys, keys.take("sliding_window", 4096) or 0, lambda l: l % 2 == 0, sizes["n_layers"])
    optional = lambda name, default: None if (x := keys.take(name, default)) is None else float(x)
    scale, attention, logit = optional("query_pre_attn_scalar", 256), optional("attn_logit_softcapping", 50.0), optional("final_logit_softcapping", 30.0)
    return gemma.Model(**sizes, windows=windows, query_scale=scale, attention_cap=attention, logit_cap=logit)


def _layer_types(model: llama.Model) -> list[str]:
    return ["sliding_attention" if model.windows[l % len(model.windows)] else "full_attention" for l in range(model.n_layers)]


def _write_qwen(model: qwen.Model) -> dict:
    window = max(model.windows)
    return {
        "hidden_act": "silu",
        "use_sliding_window": window > 0,
        "sliding_window": window or None,
        "max_window_layers": model.n_layers,
        "layer_types": _layer_types(model),
    }


def _write_gemma2(model: gemma.Model) -> dict:
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": int(model.query_scale or model.head_size),
        "attn_logit_softcapping": model.attention_cap,
        "final_logit_softcapping": model.logit_cap,
        "sliding_window": max(model.windows) or None,
        "layer_types": _layer_types(model),
    }


READERS = {
    "llama": _read_llama,
    "mistral": _read_mistral,
    "qwen2": lambda keys: _read_qwen(keys, bias=True, head_dim=None),
    "qwen3": lambda keys: _read_qwen(keys, bias=False, head_dim=128),
    "gemma": _read_gemma,
    "gemma2": _read_gemma2,
}
WRITERS = {
    "llama": lambda model: {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False},
    "mistral": lambda model: {"hidden_act": "silu", "sliding_window": model.windows[0]},
    "qwen2": _write_qwen,
    "qwen3": _write_qwen,
    "gemma": lambda model: {"hidden_act": "gelu_pytorch_tanh"},
    "gemma2": _write_gemma2,
}
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
}
