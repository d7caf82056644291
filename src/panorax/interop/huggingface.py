"""A Hugging Face folder (config.json, safetensors, tokenizer.json, generation_config.json) as ours, and ours as one."""

import json
from pathlib import Path

from panorax.core import config, files
from panorax.core.errors import UserError
from panorax.data.readers import read_object
from panorax.interop import hf_config, hf_text, hf_weights
from panorax.nets.decoders import llama

HOW_IT_IS_COMPUTED = ("model.dtype", "model.remat", "model.unroll")


def model(directory: Path) -> llama.Model:
    """The model of a folder, computing in float32 until told otherwise. Raises UserError for one that is not supported."""
    return hf_config.read(read_object(directory / "config.json"))


def save(directory: Path, params, cfg: llama.Model, tokens, context: int, dtype=None) -> None:
    """Write a new folder that `transformers` loads as the same model and tokenizer. Raises UserError where no family of theirs computes what `cfg`
    does, where the tokenizer is not one of the `tokenizers` library, or where the folder holds something or cannot be written."""
    written = hf_config.write(cfg, context)
    if not hasattr(tokens, "library"):
        raise UserError(
            f"a {type(tokens).__name__} tokenizer has no Hugging Face form; train with --data.tokenizer byte-pairs"
        )
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; a model is written to a new folder")
    ends = tokens.ends[0] if len(tokens.ends) == 1 else list(tokens.ends)
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
    } | hf_text.settings(tokens)
    with files.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        hf_weights.save(directory, params, cfg, dtype)
        (directory / "tokenizer.json").write_text(
            hf_text.library(tokens).to_str(pretty=True), encoding="utf-8"
        )
        for name, content in (
            ("config", written | {"eos_token_id": ends}),
            ("tokenizer_config", said),
            ("generation_config", {"eos_token_id": ends}),
        ):
            files.replace(directory / f"{name}.json", json.dumps(content, indent=2) + "\n")


def refuse_another_model(cfg: llama.Model, directory: Path) -> None:
    """Raise UserError if `cfg` computes something else than the weights of the folder are for."""
    theirs, ours = (config.leaves(m, "model.") for m in (model(directory), cfg))
    changed = [
        name for name in theirs if name not in HOW_IT_IS_COMPUTED and ours.get(name) != theirs[name]
    ]
    if changed:
        raise UserError(
            f"--{changed[0]} {ours.get(changed[0])} contradicts {directory}, whose weights are for {theirs[changed[0]]}"
        )
