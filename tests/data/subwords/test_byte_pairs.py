"""Byte-pair encoding against the tokenizers library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.data import tokenizer
from panorax.data.subwords import byte_pairs, unigram, words

TEXTS = ["the cat sat on the mat; the bat ate the rat", "aaa aaaa aaaaa", "naïve naïveté"] * 2
MODEL = byte_pairs.train(TEXTS, 300)
LIBRARY = tokenizer.BytePairs.train(TEXTS, 301)


def test_merges_are_those_of_the_library():
    merges = json.loads(LIBRARY.library.to_str())["model"]["merges"]
    assert [[MODEL.tokens[a], MODEL.tokens[b]] for a, b in MODEL.merges] == merges
    assert len(merges) > 20


@given(st.text(alphabet="the catsmorble aï", max_size=60))
def test_ids_are_those_of_the_library(text):
    assert MODEL.encode(text) == [i - 1 for i in LIBRARY.encode(text)]  # id 0 ends a text there


@given(st.binary())
def test_any_bytes_round_trip(data):
    assert MODEL.decode(MODEL.encode(words.text_of(data))) == data


@pytest.mark.parametrize("size", [256, 270])
def test_a_smaller_vocabulary_is_a_prefix(size):
    assert MODEL.first(size) == byte_pairs.train(TEXTS, size)


def test_training_stops_when_no_pair_is_left():
    assert len(byte_pairs.train(["ab ab"], 300).tokens) == 258
    assert byte_pairs.train([], 300).merges == ()
    assert MODEL.encode("") == []


def test_overlapping_pairs_merge_from_the_left():
    assert byte_pairs.joined_pairs([1, 1, 1, 2, 1, 1], (1, 1), 9) == [9, 1, 2, 9]


@pytest.mark.parametrize("train", [byte_pairs.train, unigram.fit])
def test_a_vocabulary_holds_all_bytes(train):
    with pytest.raises(ValueError, match="at least the 256 bytes, got 255"):
        train(TEXTS, 255)
