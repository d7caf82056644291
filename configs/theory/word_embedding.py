"""Vectors of the words of Python's sources: skip-gram beside factors of mutual information.

Papers: Mikolov et al. 2013 (arXiv:1310.4546), Levy & Goldberg 2014 (NeurIPS).
Command: panorax run theory/word_embedding      Your text: --path FILE_OR_FOLDER
"""

from panorax.core.claims import Claim
from panorax.theory.word_embedding.study import Config

NOTES = "course notes, volume 0, section 0.2: "
CLAIMS = (
    Claim(
        "related_cosine_at_first",
        "<",
        0.1,
        f"{NOTES}random vectors of words are nearly orthogonal, those of related words too",
    ),
    Claim(
        "related_cosine_skip_gram",
        ">=",
        0.5,
        f"{NOTES}training turns vectors of related words towards each other",
    ),
    Claim(
        "centred_unrelated_cosine_skip_gram",
        "<",
        0.05,
        f"{NOTES}vectors of unrelated words stay nearly orthogonal (without the mean vector)",
    ),
    Claim(
        "unrelated_cosine_skip_gram",
        "<",
        0.2,
        f"{NOTES}vectors of unrelated words stay nearly orthogonal (with the mean vector, which "
        "Mimno & Thompson 2017 found)",
    ),
    Claim(
        "information_correlation",
        ">=",
        0.8,
        "Levy & Goldberg 2014: products of vectors approximate mutual information minus log k",
    ),
    Claim(
        "optimum_gap",
        "<",
        1e-3,
        "Levy & Goldberg 2014: with enough dimensions they are equal",
    ),
    Claim(
        "related_cosine_factorised",
        ">=",
        0.5,
        "Levy & Goldberg 2014: factors of positive mutual information do as well on similarity",
    ),
    Claim(
        "analogies_skip_gram",
        ">=",
        0.1,
        "Mikolov et al. 2013: plurals are found by addition (300 times as often as by chance)",
    ),
)
ORACLE = "gensim: the loss of given pairs and negative words; NumPy: the loss and all pairs"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(least=400, most=60, width=8, batch=4096, readings=1, few=8, threshold=1e-4)
