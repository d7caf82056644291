"""Panorax: the AI stack as pure functions in JAX.

`panorax.load(folder)` returns (params, config, tokenizer) of a Hugging Face folder, and
`panorax.save(folder, params, config, tokenizer, context)` writes one; both are functions of
`panorax.interop.huggingface`.
"""

import importlib

__version__ = "0.2.0"


def __getattr__(name: str):
    """Imports `load` and `save` when they are used, which keeps the start of commands fast."""
    if name in ("load", "save"):
        return getattr(importlib.import_module("panorax.interop.huggingface"), name)
    raise AttributeError(f"module 'panorax' has no attribute {name!r}")
