"""Byte-pair encoding and the unigram model from first principles, beside the tokenizers library.

Papers: Sennrich et al. 2016 (arXiv:1508.07909), Kudo 2018 (arXiv:1804.10959).
Command: panorax run lm/tokenizer
"""

from panorax.core.claims import Claim
from panorax.lm.tokenizer import Config

SAME = "Panorax: on the default corpus"
CLAIMS = (
    Claim("equal_merges", "==", 1.0, f"{SAME} training learns every merge of tokenizers"),
    Claim("equal_ids", "==", 1.0, f"{SAME} every held-out document has the ids of tokenizers"),
    Claim("equal_splits", "==", 1.0, f"{SAME} every held-out document is split as by tokenizers"),
    Claim("largest_fall", "<=", 1e-9, "Dempster et al. 1977: no EM step lowers the likelihood"),
    Claim("byte_pairs_round_trips", "==", 1.0, "Radford et al. 2019: bytes encode every string"),
    Claim("unigram_round_trips", "==", 1.0, "Radford et al. 2019: bytes encode every string"),
    Claim(
        "byte_pairs_bytes_per_token_at_8192",
        ">=",
        3.5,
        "Panorax: with 8,192 tokens a token of held-out text covers 3.5 bytes",
    ),
)
ORACLE = "the tokenizers library: merges, ids and splits"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(at_most=5, sizes=(280, 320), unigram_sizes=(280, 300), strings=10)
