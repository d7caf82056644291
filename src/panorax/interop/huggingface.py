"""Hugging Face folders: config.json, safetensors, tokenizer.json and generation_config.json."""

import json
from pathlib import Path

from panorax.core import config, files
from panorax.core.errors import UserError
from panorax.data.readers import read_object
from panorax.interop import hf_config, hf_text, hf_weights
from panorax.nets.decoders import llama

COMPUTATION = (
    "model.dtype",
    "model.remat",
    "model.unroll",
)  # options that do not change the function of the model


def model(directory: Path) -> llama.Model:
    """The model of a folder, with compute dtype float32.

    Raises UserError if the folder has no config.json or its model is not supported.
    """
    return hf_config.read(read_object(directory / "config.json"))


def save(directory: Path, params, cfg: llama.Model, tokens, context: int, dtype=None) -> None:
    """Writes a new folder that `transformers` loads as the same model and tokenizer.

    context: sequence length of training, in tokens.
    dtype: dtype of the stored weights; None keeps the dtypes of `params`.
    Raises UserError if the model or the tokenizer has no Hugging Face form, and if the folder is
    not empty or cannot be written.
    """
    written = hf_config.write(cfg, context)
    if not hasattr(tokens, "library"):
        raise UserError(
            f"a {type(tokens).__name__} tokenizer has no Hugging Face form; "
            "train with --data.tokenizer byte-pairs"
        )
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; a model is written to a new folder")
    ends = tokens.ends[0] if len(tokens.ends) == 1 else list(tokens.ends)
    tokenizer_class = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    contents = {
        "config": written | {"eos_token_id": ends},
        "tokenizer_config": tokenizer_class | hf_text.settings(tokens),
        "generation_config": {"eos_token_id": ends},
    }
    library_json = hf_text.library(tokens).to_str(pretty=True)
    with files.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        hf_weights.save(directory, params, cfg, dtype)
        (directory / "tokenizer.json").write_text(library_json, encoding="utf-8")
        for name, content in contents.items():
            files.replace(directory / f"{name}.json", json.dumps(content, indent=2) + "\n")


def refuse_another_model(cfg: llama.Model, directory: Path) -> None:
    """Raises UserError if `cfg` differs from the folder's model in options not in COMPUTATION."""
    theirs, ours = (config.leaves(m, "model.") for m in (model(directory), cfg))
    for name, value in theirs.items():
        if name not in COMPUTATION and ours.get(name) != value:
            raise UserError(
                f"--{name} {ours.get(name)} contradicts {directory}, whose weights are for {value}"
            )
