"""Byte-pair encoding in plain Python beside the tokenizers library: training and encoding.

Competitor: tokenizers, written in Rust, on one thread.

Command: panorax bench bench/tokenizer
"""

import dataclasses

from panorax.bench.lm.tokenizer import Config

CLAIMS = ()


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), documents=100, rounds=3)
