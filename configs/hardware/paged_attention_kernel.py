"""Attention of decoding over a cache in pages, split along long contexts.

Command: panorax run hardware/paged_attention_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("paged_attention")


def smoke() -> Config:
    return Config("paged_attention", cases=1)
