"""Attention of decoding over a cache in pages, split along long contexts.

Command: panorax run hardware/paged_attention_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import PROVEN, Config

CLAIMS = (
    Claim(
        "temporaries_over_blockwise",
        ">",
        5,
        "Panorax: page by page, decoding needs at most a fifth of the temporaries",
    ),
    *PROVEN,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("paged_attention")


def smoke() -> Config:
    return Config("paged_attention", cases=1)
