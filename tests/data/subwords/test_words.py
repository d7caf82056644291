"""Words against those of the tokenizers library."""

from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from panorax.data.subwords import words

LIBRARY = pre_tokenizers.ByteLevel(add_prefix_space=False)


def test_the_alphabet_is_that_of_the_library():
    assert sorted(words.alphabet()) == sorted(LIBRARY.alphabet())


@given(st.text())
@example("I've  2 naïve\tdogs\u3000\n  '²ⅷ' don't_stop\x1c ")
def test_words_are_those_of_the_library(text):
    assert words.split(text) == [word for word, _ in LIBRARY.pre_tokenize_str(text)]


@given(st.binary())
def test_any_bytes_survive(data):
    assert words.joined(words.split(words.text_of(data))) == data


def test_words_are_counted_over_all_texts():
    assert words.counted(["a b", "a"]) == {"a": 2, "Ġb": 1}
