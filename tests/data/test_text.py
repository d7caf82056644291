import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.data import corpus, readers, text, tokenizer
from panorax.lm import baselines

STORIES = [f"story {i}\n\n" + " ".join(f"word{(i * j) % 97}" for j in range(60)) for i in range(40)]
PAIRS = tokenizer.BytePairs.train(STORIES, 300)


@pytest.mark.parametrize("tokens", [tokenizer.Bytes(), PAIRS], ids=["bytes", "byte-pairs"])
@given(written=st.text(max_size=40))
def test_decoding_inverts_encoding(tokens, written):
    ids = tokens.encode(written)
    assert tokens.decode(ids) == written and all(0 <= i < tokens.vocab_size for i in ids)


@pytest.mark.parametrize("tokens", [tokenizer.Bytes(), PAIRS, tokenizer.Characters.train(STORIES)])
def test_a_tokenizer_is_restored_from_json(tokens):
    restored = tokenizer.from_json(tokens.to_json())
    assert restored.encode(STORIES[3]) == tokens.encode(STORIES[3])
    assert (restored.vocab_size, restored.end) == (tokens.vocab_size, tokens.end)
    assert restored.decode(restored.encode(STORIES[3])) == STORIES[3]


def test_byte_pairs_compress_the_text():
    assert len(PAIRS.encode(STORIES[3])) < len(STORIES[3]) / 1.5


def test_an_unknown_character_becomes_the_replacement_character():
    characters = tokenizer.Characters.train(["ab"])
    assert characters.decode(characters.encode("aXb")) == "a�b"


def test_the_error_of_a_small_vocabulary_names_the_required_size(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(STORIES))
    for kind, message in (("bytes", "needs a vocabulary of 257"), ("byte-pairs", "at least 257")):
        with pytest.raises(UserError, match=message):
            text.dataset(text.Text(path=str(tmp_path), tokenizer=kind), 100)


def test_the_split_is_by_document_and_removes_copies(tmp_path):
    for i, story in enumerate([*STORIES, STORIES[0]]):
        (tmp_path / f"{i:03}.txt").write_text(story)
    split = corpus.load(str(tmp_path), 0.2)
    assert sorted([*split.train, *split.held_out]) == sorted(STORIES)
    assert 0.15 < sum(map(len, split.held_out)) / sum(map(len, STORIES)) < 0.3


def test_a_section_of_a_longer_document_is_dropped():
    section = "a paragraph that stands twice\n\nand another one"
    longer = "more before\n\n" + section
    assert corpus.deduplicate([section, longer]) == [longer]


def test_a_single_document_is_cut_at_a_line_end(tmp_path):
    file = tmp_path / "one.txt"
    file.write_text("line\n" * 100)
    split = corpus.load(str(file), 0.1)
    assert split.train == ("line\n" * 90,) and split.held_out == ("line\n" * 10,)


def test_held_out_batches_count_each_token_and_all_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("é" * 50)
    (tmp_path / "b.txt").write_text("xyz" * 30)
    tokens = text.dataset(text.Text(path=str(tmp_path), tokenizer="bytes", held_out=0.3), 257)
    batches = list(tokens.held_out_batches(2, 16, 8))
    total = lambda name: sum(batch[name].sum() for batch in batches)
    size = len(tokens.corpus.held_out[0].encode()) + 1
    assert total("bytes") == total("weights") == size
    assert {batch["rows"].shape for batch in batches} == {(2, 17)}
    assert tokens.train[0] == tokens.train[-1] == 256


def test_the_default_corpus_is_large_and_its_parts_are_disjoint():
    split = corpus.load(None, 0.04)
    assert sum(map(len, split.train)) > 2_000_000 and not set(split.train) & set(split.held_out)


def test_ngram_bits_equal_the_recursion():
    train, held_out, order = b"abracadabra", b"abraxb", 2

    def p(k, context, byte):
        if k < 0:
            return 1 / 256
        lower = p(k - 1, context[1:], byte)
        follow = [train[i + k] for i in range(len(train) - k) if train[i : i + k] == context]
        if not follow:
            return lower
        distinct = len(set(follow))
        return (follow.count(byte) + distinct * lower) / (len(follow) + distinct)

    bits = [
        -np.log2(p(min(i, order), held_out[max(i - order, 0) : i], held_out[i]))
        for i in range(len(held_out))
    ]
    measured = baselines.ngram_bits_per_byte(train, held_out, order)
    np.testing.assert_allclose(measured, np.mean(bits), rtol=1e-6)


def test_xz_is_primed_with_the_training_text():
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8).tobytes()
    assert baselines.xz_bits_per_byte(noise, noise) < 0.2
    assert baselines.xz_bits_per_byte(b"a" * 4000, noise) > 7


def test_hidden_files_and_folders_are_skipped(tmp_path):
    for name in (".git/HEAD", "a/.cache/b", ".note", "a/text"):
        (tmp_path / ".data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".data" / name).write_text(name)
    assert readers.read_documents(str(tmp_path / ".data")) == ["a/text"]
