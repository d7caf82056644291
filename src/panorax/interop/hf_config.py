"""A Hugging Face config.json as one of our models, and back: Llama 2 and 3, Mistral, Qwen 2 and 3, Gemma 1 and 2.

Every key is either used, or known to change nothing that is computed here; any other is an error rather than a model that is slightly wrong.
Keys that are absent have the defaults of the `transformers` library. Both spellings of rotary scaling are read (`rope_scaling`, and since
its version 5 `rope_parameters`), the newer one is written.
"""

import reprlib
from collections.abc import Callable, Set

from panorax.core.errors import UserError
from panorax.core.ranges import INT32
from panorax.nets.decoders import gemma, llama, qwen
from panorax.ops.positions import DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

WITHOUT_EFFECT = {
    "architectures", "transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache", "initializer_range",
    "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "pretraining_tp", "max_position_embeddings",
    "cache_implementation", "_attn_implementation", "_attn_implementation_autoset", "return_dict", "output_attentions", "output_hidden_states", "id2label", "label2id",
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


NEEDED = ("factor", "low_freq_factor", "high_freq_factor")
TINY, HUGE = 1e-37, 3e38  # what float32 holds
MOST_LAYERS = 4096  # of a config that is meant, and not damaged


class Keys:
    """Keys of a config.json being read: what is taken is used, what is left at the end must be without effect."""

    def __init__(self, values, where: str = "config.json"):
        if not isinstance(values, dict):
            raise UserError(f"{where} must be an object, got {reprlib.repr(values)}")
        self._left, self._where = dict(values), where

    def take(self, name: str, default=None):
        """The value of a key, `default` where it is absent."""
        return self._left.pop(name, default)

    def _checked(
        self, name: str, default, kinds: tuple[type, ...], low: float, high: float, said: str
    ):
        value = self.take(name, default)
        if type(value) not in kinds or not low <= value <= high:
            raise UserError(f"{self._where}: {name} must be {said}, got {reprlib.repr(value)}")
        return value

    def size(self, name: str, default: int | None = None, most: int = INT32) -> int:
        """A positive integer that must be there unless it has a default."""
        return self._checked(name, default, (int,), 1, most, f"a positive integer, at most {most}")

    def whole(self, name: str, default: int) -> int:
        """An integer from 0 on."""
        return self._checked(name, default, (int,), 0, INT32, "an integer from 0 on")

    def number(self, name: str, default: float | None = None) -> float:
        """A positive number of float32 that must be there unless it has a default."""
        return float(self._checked(name, default, (int, float), TINY, HUGE, "a positive number"))

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        return self._checked(name, default, (bool,), False, True, "true or false")

    def optional(self, read: Callable, name: str, default=None):
        """What `read(name, default)` returns, None where the key is null or, without a default, absent."""
        if self._left.get(name, default) is None:
            return self.take(name)
        return read(name, default)

    def must(self, name: str, *allowed) -> None:
        """Raise UserError where a key has a value that is not built here."""
        value = self.take(name, allowed[0])
        if value not in allowed:
            raise UserError(
                f"{self._where}: {name} {reprlib.repr(value)} is not supported, only {' or '.join(map(repr, allowed))}"
            )

    def done(self, without_effect: Set[str] = frozenset()) -> None:
        """Raise UserError for keys that are left."""
        unknown = sorted(self._left.keys() - without_effect)
        if unknown:
            raise UserError(
                f"{self._where} has keys whose meaning is not known here: {', '.join(unknown)}"
            )


def read(config: dict) -> llama.Model:
    """The model that a config.json describes. Raises UserError naming what is missing, of a wrong kind, or not supported."""
    keys = Keys(config)
    kind = keys.take("model_type")
    if not isinstance(kind, str) or kind not in READERS:
        raise UserError(
            f"config.json: model_type {reprlib.repr(kind)} is not supported, only {', '.join(READERS)}"
        )
    try:
        model = READERS[kind](keys)
    except ValueError as error:  # sizes that do not fit each other
        raise UserError("config.json: " + _renamed(str(error), "model.", SIZES)) from error
    keys.done(WITHOUT_EFFECT)
    return model


def _renamed(message: str, prefix: str, names: dict[str, str]) -> str:
    """A message about our fields as one about their keys."""
    for ours, theirs in names.items():
        message = message.replace(prefix + ours.replace("_", "-"), theirs)
    return message


def write(model: llama.Model, context: int) -> dict:
    """The config.json of a model trained on texts of `context` tokens. Raises UserError where no family of theirs is like it."""
    kind = model_type(model)
    if kind in ("llama", "gemma2") and model.d_model % model.n_heads:
        raise UserError(
            f"the {kind} family of Hugging Face wants n-heads to divide d-model: {model.n_heads} and {model.d_model} do not"
        )
    said = {theirs: getattr(model, ours) for ours, theirs in SIZES.items()} | {
        "head_dim": model.head_size
    }
    said |= {
        "model_type": kind,
        "architectures": [ARCHITECTURES[kind]],
        "max_position_embeddings": getattr(model.rope, "context", context),
    }
    rope_type, (_, names) = next(
        (name, rope) for name, rope in ROPES.items() if rope[0] is type(model.rope)
    )
    rope = {
        theirs: getattr(model.rope, ours)
        for ours, theirs in names.items()
        if theirs != "max_position_embeddings"
    }
    said["rope_parameters"] = {"rope_type": rope_type, "rope_theta": model.rope.theta} | {
        k: v for k, v in rope.items() if v is not None
    }
    return said | WRITERS[kind](model)


def model_type(model: llama.Model) -> str:
    """The name of their family that computes what `model` computes."""
    windows = set(_each_window(model))
    if len(windows - {0}) > 1:
        raise UserError(
            f"no Hugging Face family has windows of several widths, as {' and '.join(map(str, sorted(windows - {0})))} are"
        )
    if type(model) is llama.Model and len(windows) == 1:
        return "mistral" if model.windows[0] else "llama"
    if type(model) is qwen.Model and model.bias != model.head_norm:
        return "qwen2" if model.bias else "qwen3"
    if type(model) is gemma.Model and model.post_norms:
        return "gemma2"
    if (
        type(model) is gemma.Model
        and windows == {0}
        and model.attention_cap is model.logit_cap is model.query_scale is None
    ):
        return "gemma"
    raise UserError(
        "no Hugging Face family computes what this model computes: mixed windows need Qwen or Gemma 2, Qwen one of bias and head-norm"
    )


def _sizes(
    keys: Keys, kv_heads: int | None = None, head_dim: int | None = None, tied: bool = False
) -> dict:
    """Fields that all families share, with the defaults of this one; `head_dim` is None where it is the width over the heads."""
    heads, width = keys.size("num_attention_heads"), keys.size("hidden_size")
    size = keys.optional(keys.size, "head_dim", head_dim)
    return {
        "vocab": keys.size("vocab_size"),
        "d_model": width,
        "n_layers": keys.size("num_hidden_layers", most=MOST_LAYERS),
        "n_heads": heads,
        "n_kv_heads": keys.optional(keys.size, "num_key_value_heads", kv_heads) or heads,
        "d_ff": keys.size("intermediate_size"),
        "norm_eps": keys.number("rms_norm_eps", 1e-6),
        "tied": keys.flag("tie_word_embeddings", tied),
        "head_dim": None if size is None or size * heads == width else size,
        "rope": _rope(keys),
    }


def _rope(keys: Keys) -> Rope:
    """`rope_theta` and `rope_scaling`, or `rope_parameters`."""
    theta, context = (
        keys.number("rope_theta", 10_000.0),
        keys.optional(keys.size, "max_position_embeddings"),
    )
    scaling, parameters = keys.take("rope_scaling"), keys.take("rope_parameters")
    if scaling is not None and parameters is not None and scaling != parameters:
        raise UserError("config.json: rope_scaling and rope_parameters say different things")
    name, found = (
        ("rope_scaling", scaling) if parameters is None else ("rope_parameters", parameters)
    )
    found = (
        {key: x for key, x in found.items() if x is not None} if isinstance(found, dict) else found
    )
    said = Keys({} if found is None else found, f"config.json: {name}")
    older = said.take("type", "default")
    kind = said.take("rope_type", older)
    if not isinstance(kind, str) or kind not in ROPES:
        raise UserError(
            f"config.json: {name}: rope_type {reprlib.repr(kind)} is not supported, only {', '.join(ROPES)}"
        )
    rope, names = ROPES[kind]
    values = {"theta": said.number("rope_theta", theta)}
    for ours, theirs in names.items():
        if ours == "context":
            values[ours] = said.size(theirs, context)
        elif ours == "whole":
            values[ours] = said.flag(theirs, True)
        else:
            values[ours] = (
                said.number(theirs) if theirs in NEEDED else said.optional(said.number, theirs)
            )
    said.done()
    try:
        return rope(**{ours: x for ours, x in values.items() if x is not None})
    except ValueError as error:
        raise UserError(
            f"config.json: {name}: "
            + _renamed(str(error), "rope.", {"theta": "rope_theta"} | names)
        ) from error


def _windows(
    keys: Keys, window: int | None, default: Callable[[int], bool], layers: int
) -> tuple[int, ...]:
    """One window for each layer, 0 for all before it: those that `layer_types` calls sliding, or `default(layer)`."""
    types = keys.take("layer_types")
    if types is None:
        types = ["sliding_attention" if default(l) else "full_attention" for l in range(layers)]
    if (
        not isinstance(types, list)
        or len(types) != layers
        or not all(kind in ("full_attention", "sliding_attention") for kind in types)
    ):
        raise UserError(
            f"config.json: layer_types must name full_attention or sliding_attention for each of {layers} layers"
        )
    if window is None and "sliding_attention" in types:
        raise UserError(
            "config.json: layers slide by layer_types, but sliding_window is null, or not used by use_sliding_window"
        )
    windows = tuple(window if kind == "sliding_attention" else 0 for kind in types)
    repeats = lambda n: all(windows[l] == windows[l % n] for l in range(layers))
    return windows[: next(filter(repeats, range(1, layers + 1)))]


def _read_llama(keys: Keys) -> llama.Model:
    keys.must("hidden_act", "silu")
    keys.must("attention_bias", False)
    keys.must("mlp_bias", False)
    return llama.Model(**_sizes(keys))


def _read_mistral(keys: Keys) -> llama.Model:
    keys.must("hidden_act", "silu")
    return llama.Model(
        **_sizes(keys, kv_heads=8), windows=(keys.optional(keys.size, "sliding_window", 4096) or 0,)
    )


def _read_qwen(keys: Keys, bias: bool, head_dim: int | None) -> qwen.Model:
    keys.must("hidden_act", "silu")
    keys.must("attention_bias", *{False, bias})  # Qwen 2 always has them, whatever is said
    sizes, first = _sizes(keys, kv_heads=32, head_dim=head_dim), keys.whole("max_window_layers", 28)
    slides, window = (
        keys.flag("use_sliding_window", False),
        keys.optional(keys.size, "sliding_window", 4096),
    )
    window = window if slides else None
    windows = _windows(keys, window, lambda l: window is not None and l >= first, sizes["n_layers"])
    return qwen.Model(**sizes, windows=windows, bias=bias, head_norm=not bias)


def _read_gemma(keys: Keys) -> gemma.Model:
    keys.must(
        "hidden_act", "gelu_pytorch_tanh", "gelu"
    )  # "gelu" in the first releases meant the same
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
    window = keys.optional(keys.size, "sliding_window", 4096)
    keys.must("sliding_window_size", window, None)  # the first releases of 9B and 27B say it twice
    windows = _windows(keys, window, lambda l: l % 2 == 0, sizes["n_layers"])
    attention, logit = (
        keys.optional(keys.number, "attn_logit_softcapping", 50.0),
        keys.optional(keys.number, "final_logit_softcapping", 30.0),
    )
    scale = keys.number("query_pre_attn_scalar", 256)
    return gemma.Model(
        **sizes, windows=windows, query_scale=scale, attention_cap=attention, logit_cap=logit
    )


def _each_window(model: llama.Model) -> list[int]:
    return [model.windows[l % len(model.windows)] for l in range(model.n_layers)]


def _write_windows(model: llama.Model) -> dict:
    """Which layers slide, and how far."""
    windows = _each_window(model)
    types = ["sliding_attention" if window else "full_attention" for window in windows]
    return {"layer_types": types, "sliding_window": max(windows) or None}


def _write_qwen(model: qwen.Model) -> dict:
    written = _write_windows(model)
    slides = written["sliding_window"] is not None
    return written | {
        "hidden_act": "silu",
        "use_sliding_window": slides,
        "max_window_layers": model.n_layers,
    }


def _write_gemma2(model: gemma.Model) -> dict:
    scale = model.query_scale or model.head_size
    if scale != int(scale):
        raise UserError(
            f"Hugging Face's Gemma 2 has a whole query_pre_attn_scalar, model.query-scale is {scale}"
        )
    windows = _write_windows(model)
    return windows | {
        "sliding_window": windows["sliding_window"]
        or 4096,  # theirs wants one even where no layer slides
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": int(scale),
        "attn_logit_softcapping": model.attention_cap,
        "final_logit_softcapping": model.logit_cap,
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
