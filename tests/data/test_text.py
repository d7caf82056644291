import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.data import corpus, text, tokenizer
from panorax.lm import baselines

STORIES = [f"story {i}\n\n" + " ".join(f"word{(i * j) % 97}" for j in range(60)) for i in range(40)]
PAIRS = tokenizer.BytePairs.train(STORIES, 300)


@pytest.mark.parametrize("tokens", [tokenizer.Bytes(), PAIRS], ids=["bytes", "byte-pairs"])
@given(written=st.text(max_size=40))
def test_any_text_comes_back(tokens, written):
    ids = tokens.encode(written)
    assert tokens.decode(ids) == written and all(0 <= i < tokens.vocab_size for i in ids)


@pytest.mark.parametrize("tokens", [tokenizer.Bytes(), PAIRS, tokenizer.Characters.train(STORIES)])
def test_tokenizers_are_kept_as_json(tokens):
    again = tokenizer.from_json(tokens.to_json())
    assert again.encode(STORIES[3]) == tokens.encode(STORIES[3])
    assert (again.vocab_size, again.end) == (tokens.vocab_size, tokens.end)
    assert again.decode(again.encode(STORIES[3])) == STORIES[3]


def test_byte_pairs_compress_and_characters_know_what_they_do_not_know():
    assert len(PAIRS.encode(STORIES[3])) < len(STORIES[3]) / 1.5
    characters = tokenizer.Characters.train(["ab"])
    assert characters.decode(characters.encode("aXb")) == "a�b"


def test_a_vocabulary_too_small_says_how_much_is_needed(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(STORIES))
    for kind, message in (("bytes", "needs a vocabulary of 257"), ("byte-pairs", "at least 257")):
        with pytest.raises(UserError, match=message):
            text.dataset(text.Text(path=str(tmp_path), tokenizer=kind), 100)


def test_split_is_by_document_and_a_copy_is_on_no_side_twice(tmp_path):
    for i, story in enumerate([*STORIES, STORIES[0]]):
        (tmp_path / f"{i:03}.txt").write_text(story)
    split = corpus.load(str(tmp_path), 0.2)
    assert sorted([*split.train, *split.held_out]) == sorted(STORIES)
    assert 0.15 < sum(map(len, split.held_out)) / sum(map(len, STORIES)) < 0.3


def test_a_section_that_another_document_repeats_is_dropped():
    section = "a paragraph that stands twice\n\nand another one"
    assert corpus.deduplicate([section, "more before\n\n" + section]) == [
        "more before\n\n" + section
    ]


def test_one_document_is_cut_at_a_line(tmp_path):
    file = tmp_path / "one.txt"
    file.write_text("line\n" * 100)
    split = corpus.load(str(file), 0.1)
    assert split.train == ("line\n" * 90,) and split.held_out == ("line\n" * 10,)


def test_dataset_joins_documents_and_counts_their_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("é" * 50)
    (tmp_path / "b.txt").write_text("xyz" * 30)
    tokens = text.dataset(text.Text(path=str(tmp_path), tokenizer="bytes", held_out=0.3), 257)
    batches = list(tokens.held_out_batches(2, 16, 8))
    total = lambda name: sum(batch[name].sum() for batch in batches)
    held_out = tokens.corpus.held_out[0]
    assert total("bytes") == len(held_out.encode()) + 1
    assert {batch["rows"].shape for batch in batches} == {(2, 17)} and total("weights") == len(
        held_out.encode()
    ) + 1
    assert tokens.train[0] == tokens.train[-1] == 256


def test_the_default_corpus_is_there():
    split = corpus.load(None, 0.04)
    assert sum(map(len, split.train)) > 2_000_000 and not set(split.train) & set(split.held_out)


def test_ngram_equals_the_recursion_written_out():
    train, held_out, order = b"abracadabra", b"abraxb", 2

    def p(k, context, byte):
        if k < 0:
            return 1 / 256
        lower = p(k - 1, context[1:], byte)
        follow = [train[i + k] for i in range(len(train) - k) if train[i : i + k] == context]
        return (
            (follow.count(byte) + len(set(follow)) * lower) / (len(follow) + len(set(follow)))
            if follow
            else lower
        )

    bits = [
        -np.log2(p(min(i, order), held_out[max(i - order, 0) : i], held_out[i]))
        for i in range(len(held_out))
    ]
    np.testing.assert_allclose(
        baselines.ngram_bits_per_byte(train, held_out, order), np.mean(bits), rtol=1e-6
    )


def test_xz_reads_the_training_text_first():
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8).tobytes()
    assert (
        baselines.xz_bits_per_byte(noise, noise)
        < 0.2
        < 7
        < baselines.xz_bits_per_byte(b"a" * 4000, noise)
    )
