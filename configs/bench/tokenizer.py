"""Byte-pair encoding in plain Python beside the tokenizers library: training and encoding.

Competitor: tokenizers, written in Rust, on one thread.

Command: panorax bench bench/tokenizer
"""

import dataclasses

from panorax.bench.lm.tokenizer import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim("encode_equal_tokens", "==", 1.0, "both libraries encode into as many tokens"),
    Claim("train_equal_tokens", "==", 1.0, "both libraries train as many tokens"),
    Claim(
        "encode_panorax_ratio",
        ">=",
        0.25,
        "Panorax: plain Python encodes at least a quarter as fast as Rust",
    ),
    Claim(
        "train_panorax_ratio",
        ">=",
        0.25,
        "Panorax: plain Python trains at least a quarter as fast as Rust",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), documents=100, rounds=3)
