"""Hugging Face folders: config.json, safetensors, tokenizer.json and generation_config.json."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from panorax.core import files
from panorax.core.config import chosen
from panorax.core.config import leaves as options_of
from panorax.core.errors import UserError
from panorax.data.readers import read_object
from panorax.interop import hf_config, hf_text, hf_weights
from panorax.nets.decoders import decoder, llama
from panorax.ops.sampling import Sampling
from panorax.parallel.sharding import make_mesh, parameter_shardings

COMPUTATION = (
    "model.dtype",
    "model.remat",
    "model.unroll",
    "model.cache",
)  # options that do not change the function of the model


METADATA = "huggingface.json"
KEPT = (
    "max_position_embeddings",
    "bos_token_id",
    "pad_token_id",
    "unk_token_id",
    "initializer_range",
    "attention_dropout",
)  # keys of config.json without effect on the model's function that an export keeps


def model(directory: str | Path, ignore: Sequence[str] = ()) -> llama.Model:
    """The model of a folder, with compute dtype float32.

    ignore: unknown keys of config.json that do not affect the computation.
    Raises UserError if the folder has no config.json or its model is not supported.
    """
    return hf_config.read(read_object(Path(directory) / "config.json"), ignore)


def context(directory: str | Path) -> int | None:
    """The most tokens that the model of a folder was trained to read; None if it is not stated."""
    value = read_object(Path(directory) / "config.json").get("max_position_embeddings")
    return value if isinstance(value, int) and value > 0 else None


def load(directory: str | Path, dtype=None, mesh: str = "", ignore: Sequence[str] = ()):
    """Returns (params, config, tokenizer) of a folder.

    dtype: dtype of parameters and activations; None keeps the dtypes of the file.
    mesh: devices to split the parameters over, such as "tensor=4"; "" for one device.
    ignore: unknown keys of config.json that do not affect the computation.
    Raises UserError if the folder is not supported, incomplete or damaged.
    """
    cfg, tokens = model(directory, ignore), hf_text.tokenizer(directory)
    shardings = parameter_shardings(decoder.spec(cfg), make_mesh(mesh))
    params = hf_weights.load(directory, cfg, shardings, dtype)
    compute = "bfloat16" if params["embed"].dtype == "bfloat16" else "float32"
    return params, dataclasses.replace(cfg, dtype=compute), tokens


def metadata(directory: str | Path) -> dict[str, dict]:
    """Settings of a folder that the model and the tokenizer do not hold, for `save`.

    These are KEPT of config.json, and all of tokenizer_config.json and generation_config.json.
    """
    read = lambda name: read_object(Path(directory) / f"{name}.json", optional=True)
    config = {key: x for key, x in read("config").items() if key in KEPT}
    return {"config": config} | {
        name: read(name) for name in ("tokenizer_config", "generation_config")
    }


def save(
    directory: str | Path,
    params,
    cfg: llama.Model,
    tokens,
    context: int,
    dtype=None,
    sampling: Sampling | None = None,
    kept: dict[str, dict] | None = None,
) -> None:
    """Writes a new folder that `transformers` loads as the same model and tokenizer.

    context: most tokens that the model reads.
    dtype: dtype of the stored weights; None keeps the dtypes of `params`.
    sampling: default sampling of the folder; None keeps the sampling of `kept`.
    kept: settings of the folder that the model comes from, as `metadata` returns them.
    Raises UserError if the model or the tokenizer has no Hugging Face form, and if the folder is
    not empty or cannot be written.
    """
    directory, kept = Path(directory), kept or {}
    config, tokenizer_config, generation = (
        kept.get(name, {}) for name in ("config", "tokenizer_config", "generation_config")
    )
    written = hf_config.write(cfg, context)
    if not hasattr(tokens, "library"):
        raise UserError(
            f"a {type(tokens).__name__} tokenizer has no Hugging Face form; "
            "train with --data.tokenizer byte-pairs"
        )
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; a model is written to a new folder")
    ends = {"eos_token_id": tokens.ends[0] if len(tokens.ends) == 1 else list(tokens.ends)}
    starts = hf_text.ids(tokens)
    settings = {"model_max_length": written["max_position_embeddings"]} | tokenizer_config
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast"} | hf_text.settings(tokens)
    if sampling is not None:
        replaced = {*hf_text.PENALTIES, *hf_text.FILTERS}
        generation = {name: x for name, x in generation.items() if name not in replaced}
        generation |= hf_text.sampling_settings(sampling)
    contents = {
        "config": starts | config | written | ends,
        "tokenizer_config": settings,
        "generation_config": starts | generation | ends,
    }
    library_json = hf_text.library(tokens).to_str(pretty=True)
    with files.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        hf_weights.save(directory, params, cfg, dtype)
        (directory / "tokenizer.json").write_text(library_json, encoding="utf-8")
        for name, content in contents.items():
            files.replace(directory / f"{name}.json", json.dumps(content, indent=2) + "\n")


def refuse_another_model(cfg: llama.Model, directory: Path, ignore: Sequence[str] = ()) -> None:
    """Raises UserError if `cfg` differs from the folder's model in options not in COMPUTATION."""
    theirs, ours = (
        options_of(m, "model.") | {f"model.{part}": kind for part, kind in chosen(m).items()}
        for m in (model(directory, ignore), cfg)
    )
    for name, value in theirs.items():
        if name not in COMPUTATION and ours.get(name) != value:
            raise UserError(
                f"--{name} {ours.get(name)} contradicts {directory}, whose weights are for {value}"
            )
