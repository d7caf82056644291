"""Words of a text, and the pairs of a word and a word near it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.theory.word_embedding import word_pairs

TEXTS = ["read_file readFile HTTPServer; the read the", "the server reads"]
RNG = np.random.default_rng(0)
DRAWN = 0.03
"""four standard deviations of a share of 3,000 draws"""


def test_identifiers_are_split_into_words():
    found = word_pairs.words_of(TEXTS, 1, 100)
    assert found.names == ("read", "the", "file", "server", "http", "reads")
    assert found.counts.tolist() == [3, 3, 2, 2, 1, 1]
    spelled = [[found.names[i] for i in ids] for ids in found.documents]
    assert spelled[0] == "read file read file http server the read the".split()
    assert word_pairs.words_of(TEXTS, 2, 2).names == ("read", "the")
    with pytest.raises(UserError, match="has 1 words that occur 3 times; 2 are needed"):
        word_pairs.words_of(["a a a b"], 3, 9)


@given(st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=3))
def test_pairs_are_the_words_within_the_window(documents):
    ids = tuple(np.array(d, np.int32) for d in documents)
    corpus = word_pairs.Words(tuple("abcde"), np.ones(5), ids)
    found = word_pairs.pairs(corpus, 1, 1.0, np.random.default_rng(0))
    expected = [pair for d in documents for a in itertools.pairwise(d) for pair in (a, a[::-1])]
    assert sorted(map(tuple, found.tolist())) == sorted(expected)
    wide = word_pairs.pairs(corpus, 3, 1.0, np.random.default_rng(0))
    assert len(wide) <= sum(2 * 3 * len(d) for d in documents)
    assert word_pairs.cooccurrence(wide, 5).sum() == len(wide)


def test_nearer_words_count_more_and_frequent_words_are_left_out():
    corpus = word_pairs.Words(("a", "b"), np.array([9000, 1000]), (np.arange(10_000) % 10 == 0,))
    corpus = corpus._replace(documents=(corpus.documents[0].astype(np.int32),))
    share = lambda t: np.mean(np.concatenate(word_pairs.kept_words(corpus, t, RNG)) == 0)
    assert share(1.0) == pytest.approx(0.9) and share(0.01) == pytest.approx(0.75, abs=0.03)
    line = word_pairs.Words(tuple(map(str, range(3000))), np.ones(3000), (np.arange(3000),))
    distance = np.abs(np.subtract(*word_pairs.pairs(line, 4, 1.0, RNG).T))
    shares = [np.sum(distance == d) / 6000 for d in (1, 2, 3, 4)]
    np.testing.assert_allclose(shares, [1, 0.75, 0.5, 0.25], atol=DRAWN)
