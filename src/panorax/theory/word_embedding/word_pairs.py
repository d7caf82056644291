"""Words of a corpus, and the pairs of a word and a word near it.

Identifiers are split into their words, `read_file` and `readFile` into read and file, and all are
in lower case. A pair (w, c) has a word w and a context c at most `window` words away in the same
document. The window of each word is drawn uniformly from 1 .. window, so that nearer words count
more. Frequent words are left out first, with probability 1 - sqrt(t / f) for the frequency f.
Source: Mikolov et al. 2013, arXiv:1310.4546, sections 2.2 and 2.3.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from panorax.core.errors import UserError

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Words(NamedTuple):
    """A corpus as ids of words."""

    names: tuple[str, ...]
    """words in order of their frequency, ids 0 .. V - 1"""
    counts: np.ndarray
    """number of occurrences of each word, (V,)"""
    documents: tuple[np.ndarray, ...]
    """ids of the words of each document; rarer words are left out"""


def words_of(texts: Sequence[str], least: int, most: int) -> Words:
    """The words with at least `least` occurrences, at most the `most` most frequent.

    Raises UserError if there are fewer than two.
    """
    lists = [[word.lower() for word in WORD.findall(text)] for text in texts]
    counted = Counter(word for words in lists for word in words)
    names = sorted((w for w, n in counted.items() if n >= least), key=lambda w: (-counted[w], w))
    names = names[:most]
    if len(names) < 2:
        raise UserError(f"the text has {len(names)} words that occur {least} times; 2 are needed")
    number = {name: i for i, name in enumerate(names)}
    documents = [np.array([number[w] for w in words if w in number], np.int32) for words in lists]
    return Words(tuple(names), np.array([counted[w] for w in names]), tuple(documents))


def kept_words(words: Words, threshold: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The documents without a random part of the occurrences of frequent words."""
    share = words.counts / words.counts.sum()
    keep = np.minimum(np.sqrt(threshold / share), 1.0)
    return [ids[rng.random(len(ids)) < keep[ids]] for ids in words.documents]


def pairs(words: Words, window: int, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """All pairs (w, c) of one reading of the corpus, (pairs, 2), in random order."""
    found = [np.zeros((0, 2), np.int32)]
    for ids in kept_words(words, threshold, rng):
        reach = rng.integers(1, window + 1, len(ids))
        for distance in range(1, min(window, len(ids) - 1) + 1):
            left, right = ids[:-distance], ids[distance:]
            found.append(np.stack([left, right], 1)[reach[:-distance] >= distance])
            found.append(np.stack([right, left], 1)[reach[distance:] >= distance])
    return rng.permutation(np.concatenate(found))


def cooccurrence(pairs: np.ndarray, size: int) -> np.ndarray:
    """Number of each pair, (V, V): row w, column c."""
    flat = pairs[:, 0].astype(np.int64) * size + pairs[:, 1]
    return np.bincount(flat, minlength=size * size).reshape(size, size)
