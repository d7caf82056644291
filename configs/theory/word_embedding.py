"""Vectors of the words of Python's sources: skip-gram beside factors of mutual information.

Papers: Mikolov et al. 2013 (arXiv:1310.4546), Levy & Goldberg 2014 (NeurIPS).
Command: panorax run theory/word_embedding      Your text: --path FILE_OR_FOLDER
"""

from panorax.theory.word_embedding.study import Config

CLAIMS = ()
ORACLE = "gensim: the loss of given pairs and negative words; NumPy: the loss and all pairs"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(least=400, most=60, width=8, batch=4096, readings=1, few=8, threshold=1e-4)
