"""The unigram model against sums over all splits, and against the tokenizers library."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.data.subwords import unigram, words
from panorax.testing.tolerances import DOUBLE

TEXTS = ["the cat sat on the mat; the bat ate the rat", "aaa aaaa aaaaa", "naïve naïveté"] * 2
MODEL, HISTORY = unigram.fit(TEXTS, 290)
LIBRARY = MODEL.in_library()


def splits(word, log_p):
    """(tokens, log probability) of every split."""
    if not word:
        yield [], 0.0
    for end in range(1, len(word) + 1):
        if word[:end] in log_p:
            for rest, x in splits(word[end:], log_p):
                yield [word[:end], *rest], log_p[word[:end]] + x


def test_expected_counts_are_those_of_all_splits():
    log_p = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.16), "ba": math.log(0.04)}
    counts = {"abab": 3, "ba": 1}
    expected, total = unigram.expected_counts(counts, log_p)
    by_hand, likelihood = dict.fromkeys(log_p, 0.0), 0.0
    for word, n in counts.items():
        whole = sum(math.exp(x) for _, x in splits(word, log_p))
        likelihood += n * math.log(whole)
        for tokens, x in splits(word, log_p):
            for token in tokens:
                by_hand[token] += n * math.exp(x) / whole
    np.testing.assert_allclose([*expected.values()], [*by_hand.values()], **DOUBLE)
    np.testing.assert_allclose(total, likelihood, **DOUBLE)
    best = max(splits("abab", log_p), key=lambda item: item[1])[0]
    assert unigram.best_split("abab", log_p) == best
    assert unigram.best_split("ab", log_p, without="ab") == ["a", "b"]


def test_em_steps_never_lower_the_likelihood_and_the_vocabulary_has_its_size():
    assert all(before <= after for round in HISTORY for before, after in zip(round, round[1:]))
    assert 256 < len(MODEL.tokens) <= 290 and {*words.alphabet()} <= {*MODEL.tokens}
    np.testing.assert_allclose(np.sum(np.exp(MODEL.log_p)), 1, **DOUBLE)


@given(st.text(alphabet="the catsmorble aï", max_size=60))
def test_splits_are_those_of_the_library(text):
    assert MODEL.encode(text) == LIBRARY.encode(text).ids


@given(st.binary())
def test_any_bytes_are_decoded_unchanged(data):
    assert MODEL.decode(MODEL.encode(words.text_of(data))) == data


def test_long_words_do_not_underflow():
    expected, total = unigram.expected_counts({"a" * 3000: 1}, {"a": math.log(1e-9)})
    np.testing.assert_allclose([expected["a"], total], [3000, 3000 * math.log(1e-9)], **DOUBLE)


def test_removal_keeps_the_ratios_of_the_other_probabilities():
    log_p = dict.fromkeys(words.alphabet(), math.log(1e-4)) | {"ab": -2.0, "cd": -9.0, "ef": -8.5}
    kept = unigram.pruned({"ab": 3, "cd": 2, "ef": 1}, log_p, 258)
    assert kept.keys() == log_p.keys() - {"ef"}
    ratio = kept["ab"] - kept["cd"]
    np.testing.assert_allclose([ratio, sum(map(math.exp, kept.values()))], [7, 1], **DOUBLE)
