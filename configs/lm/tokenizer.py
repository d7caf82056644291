"""Byte-pair encoding and the unigram model from first principles, beside the tokenizers library.

Papers: Sennrich et al. 2016 (arXiv:1508.07909), Kudo 2018 (arXiv:1804.10959).
Command: panorax run lm/tokenizer
"""

from panorax.lm.tokenizer import Config

CLAIMS = ()
ORACLE = "the tokenizers library: merges, ids and splits"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(at_most=5, sizes=(280, 320), unigram_sizes=(280, 300), strings=10)
