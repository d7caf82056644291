"""Decoders as Hugging Face config.json files, read and written.

Families: Llama 2 and 3, Mistral, Qwen 2 and 3, Gemma 1 and 2. Every key is either used or known not
to affect the computation; any other key is an error. Absent keys have the defaults of
`transformers`. Both spellings of rotary scaling are read: `rope_scaling` and, since transformers 5,
`rope_parameters`. The newer one is written.
"""

from collections.abc import Callable, Sequence

from panorax.core.errors import UserError
from panorax.interop.hf_keys import Keys
from panorax.nets.decoders import gemma, llama, qwen
from panorax.ops.positions import DynamicNTKRope, LinearRope, Llama3Rope, Rope, YarnRope

WITHOUT_EFFECT = frozenset(
    """
    architectures transformers_version _name_or_path torch_dtype dtype use_cache initializer_range
    attention_dropout bos_token_id eos_token_id pad_token_id unk_token_id pretraining_tp
    max_position_embeddings cache_implementation _attn_implementation _attn_implementation_autoset
    return_dict output_attentions output_hidden_states id2label label2id
    """.split()
)
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
ROPES = {  # our field -> Hugging Face key, for each rope_type
    "default": (Rope, {}),
    "linear": (LinearRope, {"factor": "factor"}),
    "dynamic": (DynamicNTKRope, {"factor": "factor", "context": "max_position_embeddings"}),
    "yarn": (
        YarnRope,
        {
            "factor": "factor",
            "context": "original_max_position_embeddings",
            "fast": "beta_fast",
            "slow": "beta_slow",
            "attention": "attention_factor",
            "whole": "truncate",
        },
    ),
    "llama3": (
        Llama3Rope,
        {
            "factor": "factor",
            "context": "original_max_position_embeddings",
            "fast": "high_freq_factor",
            "slow": "low_freq_factor",
        },
    ),
}
REQUIRED = ("factor", "low_freq_factor", "high_freq_factor")
MOST_LAYERS = 4096  # more layers mean a damaged config


def read(config: dict, ignore: Sequence[str] = ()) -> llama.Model:
    """The model that a config.json describes.

    ignore: unknown keys that do not affect the computation.
    Raises UserError that names the key if a key is missing, has a wrong value, or is not supported.
    """
    keys = Keys(config)
    kind = keys.take("model_type")
    if not isinstance(kind, str) or kind not in READERS:
        raise keys.unsupported("model_type", kind, ", ".join(READERS))
    try:
        model = READERS[kind](keys)
    except ValueError as error:  # sizes that do not fit each other
        raise UserError("config.json: " + _renamed(str(error), "model.", SIZES)) from error
    keys.done(WITHOUT_EFFECT, frozenset(ignore))
    return model


def _renamed(message: str, prefix: str, names: dict[str, str]) -> str:
    """`message` with the names of our fields replaced by Hugging Face keys."""
    for ours, theirs in names.items():
        message = message.replace(prefix + ours.replace("_", "-"), theirs)
    return message


def write(model: llama.Model, context: int) -> dict:
    """The config.json of a model that reads sequences of up to `context` tokens.

    Raises UserError if no Hugging Face family is equivalent to `model`.
    """
    kind = model_type(model)
    if kind in ("llama", "gemma2") and model.d_model % model.n_heads:
        raise UserError(
            f"the {kind} family of Hugging Face needs an n-heads that divides d-model, "
            f"got {model.n_heads} and {model.d_model}"
        )
    written = {theirs: getattr(model, ours) for ours, theirs in SIZES.items()}
    written |= {
        "head_dim": model.head_size,
        "model_type": kind,
        "architectures": [ARCHITECTURES[kind]],
        "max_position_embeddings": max_position(model.positions, context),
        "rope_parameters": _write_rope(model.positions),
    }
    return written | WRITERS[kind](model)


def max_position(rope: Rope, context: int) -> int:
    """`max_position_embeddings` of a model that reads up to `context` tokens.

    With dynamic scaling, this is the length at which scaling starts.
    """
    return rope.context if isinstance(rope, DynamicNTKRope) else context


def _write_rope(rope: Rope) -> dict:
    kind, names = next(
        (kind, names) for kind, (type_, names) in ROPES.items() if type_ is type(rope)
    )
    values = {
        theirs: getattr(rope, ours)
        for ours, theirs in names.items()
        if theirs != "max_position_embeddings"
    }
    values = {name: x for name, x in values.items() if x is not None}
    return {"rope_type": kind, "rope_theta": rope.theta} | values


def model_type(model: llama.Model) -> str:
    """The `model_type` of the Hugging Face family equivalent to `model`.

    Raises UserError if there is none.
    """
    default = type(model)()
    if type(model.positions) not in [rope for rope, _ in ROPES.values()]:
        raise UserError("no Hugging Face family here has model.positions other than a rotation")
    if model.sinks or (model.attention, model.feed_forward) != (
        default.attention,
        default.feed_forward,
    ):
        raise UserError(
            "no Hugging Face family here has sinks, or attention or a feed-forward network other "
            "than its own: model.sinks, model.attention and model.feed-forward"
        )
    windows = set(_each_window(model))
    if len(windows - {0}) > 1:
        widths = " and ".join(map(str, sorted(windows - {0})))
        raise UserError(f"no Hugging Face family has windows of several widths, got {widths}")
    if type(model) is llama.Model and len(windows) == 1:
        return "mistral" if model.windows[0] else "llama"
    if type(model) is qwen.Model and model.bias != model.head_norm:
        return "qwen2" if model.bias else "qwen3"
    if type(model) is gemma.Model:
        plain = model.attention_cap is model.logit_cap is model.query_scale is None
        if model.post_norms:
            return "gemma2"
        if windows == {0} and plain:
            return "gemma"
    raise UserError(
        "no Hugging Face family computes what this model computes: mixed windows need Qwen or "
        "Gemma 2, and Qwen needs exactly one of bias and head-norm"
    )


def _sizes(
    keys: Keys, kv_heads: int | None = None, head_dim: int | None = None, tied: bool = False
) -> dict:
    """Fields that all families share, with the defaults of one family.

    The field `head_dim` is None if it equals the width divided by the heads.
    """
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
        "positions": _rope(keys),
    }


def _rope(keys: Keys) -> Rope:
    """Rotary embedding from `rope_theta` and `rope_scaling`, or from `rope_parameters`."""
    theta = keys.number("rope_theta", 10_000.0)
    context = keys.optional(keys.size, "max_position_embeddings")
    scaling, parameters = keys.take("rope_scaling"), keys.take("rope_parameters")
    if scaling is not None and parameters is not None and scaling != parameters:
        raise UserError("config.json: rope_scaling and rope_parameters contradict each other")
    name, values = (
        ("rope_scaling", scaling) if parameters is None else ("rope_parameters", parameters)
    )
    if isinstance(values, dict):
        values = {key: x for key, x in values.items() if x is not None}
    inner = Keys({} if values is None else values, f"config.json: {name}")
    older = inner.take("type", "default")
    kind = inner.take("rope_type", older)
    if not isinstance(kind, str) or kind not in ROPES:
        raise inner.unsupported("rope_type", kind, ", ".join(ROPES))
    rope, names = ROPES[kind]
    fields = {"theta": inner.number("rope_theta", theta)}
    fields |= {ours: _rope_field(inner, ours, theirs, context) for ours, theirs in names.items()}
    inner.done()
    try:
        return rope(**{ours: x for ours, x in fields.items() if x is not None})
    except ValueError as error:
        message = _renamed(str(error), "rope.", {"theta": "rope_theta"} | names)
        raise UserError(f"config.json: {name}: {message}") from error


def _rope_field(keys: Keys, ours: str, theirs: str, context: int | None):
    """One field of a rotary embedding; `context` is the default of the field `context`."""
    if ours == "context":
        return keys.size(theirs, context)
    if ours == "whole":
        return keys.flag(theirs, True)
    return keys.number(theirs) if theirs in REQUIRED else keys.optional(keys.number, theirs)


def _windows(
    keys: Keys, window: int | None, default: Callable[[int], bool], layers: int
) -> tuple[int, ...]:
    """Shortest repeating pattern of the layers' windows, 0 for full attention.

    A layer has the window if `layer_types` calls it sliding or, without `layer_types`, if
    `default(layer)` is true.
    """
    types = keys.take("layer_types")
    if types is None:
        types = ["sliding_attention" if default(l) else "full_attention" for l in range(layers)]
    if (
        not isinstance(types, list)
        or len(types) != layers
        or not all(kind in ("full_attention", "sliding_attention") for kind in types)
    ):
        raise UserError(
            "config.json: layer_types must name full_attention or sliding_attention "
            f"for each of {layers} layers"
        )
    if window is None and "sliding_attention" in types:
        raise UserError(
            "config.json: layer_types has sliding layers, but sliding_window is null, "
            "or use_sliding_window is false"
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
    window = keys.optional(keys.size, "sliding_window", 4096) or 0
    return llama.Model(**_sizes(keys, kv_heads=8), windows=(window,))


def _read_qwen(keys: Keys, bias: bool, head_dim: int | None) -> qwen.Model:
    keys.must("hidden_act", "silu")
    keys.must("attention_bias", *{False, bias})  # Qwen 2 has biases whatever the key says
    sizes = _sizes(keys, kv_heads=32, head_dim=head_dim)
    first = keys.whole("max_window_layers", 28)
    slides = keys.flag("use_sliding_window", False)
    window = keys.optional(keys.size, "sliding_window", 4096)
    window = window if slides else None
    windows = _windows(keys, window, lambda l: window is not None and l >= first, sizes["n_layers"])
    return qwen.Model(**sizes, windows=windows, bias=bias, head_norm=not bias)


def _read_gemma(keys: Keys) -> gemma.Model:
    # "gelu" in the first releases meant "gelu_pytorch_tanh"
    keys.must("hidden_act", "gelu_pytorch_tanh", "gelu")
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
    # the first releases of 9B and 27B have the window under both names
    keys.must("sliding_window_size", window, None)
    windows = _windows(keys, window, lambda l: l % 2 == 0, sizes["n_layers"])
    return gemma.Model(
        **sizes,
        windows=windows,
        query_scale=keys.number("query_pre_attn_scalar", 256),
        attention_cap=keys.optional(keys.number, "attn_logit_softcapping", 50.0),
        logit_cap=keys.optional(keys.number, "final_logit_softcapping", 30.0),
    )


def _each_window(model: llama.Model) -> list[int]:
    return [model.windows[l % len(model.windows)] for l in range(model.n_layers)]


def _write_windows(model: llama.Model) -> dict:
    """`layer_types` and `sliding_window`."""
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
            "Hugging Face's Gemma 2 needs a whole query_pre_attn_scalar, "
            f"model.query-scale is {scale}"
        )
    windows = _write_windows(model)
    return windows | {
        # transformers needs a window even if no layer slides
        "sliding_window": windows["sliding_window"] or 4096,
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
