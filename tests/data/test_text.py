import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.data import corpus, readers, text, tokenizer
from panorax.data.readers import read_documents
from panorax.lm import baselines
from panorax.testing.tolerances import NUMBER

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


def test_a_folder_with_train_and_val_files_is_split_by_name(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.txt").write_text(f"the {name} part\n" * 9)
    split = corpus.load(str(tmp_path), 0.04)
    assert split == corpus.Corpus(("the train part\n" * 9,), ("the val part\n" * 9,))
    chosen = corpus.load(str(tmp_path), 0.04, held_out_path=str(tmp_path / "test.txt"))
    assert chosen.held_out == ("the test part\n" * 9,)
    assert sorted(text[:9] for text in chosen.train) == ["the train", "the val p"]
    (tmp_path / "train.txt").rename(tmp_path / "story.txt")
    assert len(corpus.load(str(tmp_path), 0.04).train) == 2
    with pytest.raises(UserError, match="all text of .* is also in"):
        corpus.load(str(tmp_path), 0.04, held_out_path=str(tmp_path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_byte_order_mark_is_no_text(tmp_path, name):
    content = '{"text": "one"}' if name == "a.jsonl" else "one"
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert read_documents(str(tmp_path / name)) == ["one"]


def test_each_line_of_a_jsonl_file_is_a_document(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one\\u2028é", "id": 3}\n\n{"text": "two"}\n')
    (tmp_path / "b.txt").write_text('{"text": "raw"}')
    assert read_documents(str(tmp_path)) == ["one\u2028é", "two", '{"text": "raw"}']


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.jsonl", '{"text": "a"}\n{"story": "b"}', "a.jsonl, line 2: expected"),
        ("a.jsonl", '{"text": 3}', "a.jsonl, line 1: expected"),
        ("a.jsonl", '{"text": "\\ud83d"}', "a.jsonl, line 1: expected"),
        ("a.jsonl", "plain", "a.jsonl, line 1: expected"),
        ("a.npy", "x", "a.npy is a .npy file, and token ids are not read"),
        ("train.bin", "x", "train.bin is a .bin file, and token ids are not read"),
    ],
)
def test_data_that_is_no_text_is_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(UserError, match=message) as error:
            read_documents(str(path))
        assert str(error.value).isprintable()


def test_the_summary_counts_tokens_and_documents_of_both_parts(tmp_path):
    (tmp_path / "train.txt").write_text("a" * 1500)
    (tmp_path / "val.txt").write_text("b" * 30)
    tokens = text.dataset(text.Text(path=str(tmp_path), tokenizer="bytes"), 257)
    assert tokens.summary() == (
        "data: 1,502 training tokens in 1 document, 32 held-out tokens in 1 document "
        f"({tmp_path / 'val.txt'}); Bytes tokenizer of 257 tokens"
    )
    (tmp_path / "val.txt").rename(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text("c" * 40)
    shared = text.dataset(text.Text(path=str(tmp_path), tokenizer="bytes"), 257).summary()
    assert "in 2 documents" in shared and "(0.04 of the text)" in shared


def test_the_vocabulary_is_the_number_of_ids_that_the_tokenizer_needs(tmp_path):
    (tmp_path / "train.txt").write_text("abc")
    (tmp_path / "val.txt").write_text("xyz")
    size = lambda kind: text.vocabulary(text.Text(path=str(tmp_path), tokenizer=kind))
    assert (size("bytes"), size("characters"), size("byte-pairs")) == (257, 3 + 2, None)


def test_held_out_batches_count_each_token_and_all_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("é" * 50)
    (tmp_path / "b.txt").write_text("xýz" * 30)
    tokens = text.dataset(text.Text(path=str(tmp_path), tokenizer="bytes", held_out=0.3), 257)
    batches = list(tokens.held_out_batches(2, 16, 8))
    total = lambda name: sum(batch[name].sum() for batch in batches)
    [document] = tokens.corpus.held_out
    size = len(document.encode()) + 1
    assert size > len(document) + 1  # bytes, not characters
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
    np.testing.assert_allclose(measured, np.mean(bits), **NUMBER)


def test_xz_is_primed_with_the_training_text():
    noise = np.random.default_rng(0).integers(0, 256, 4000).astype(np.uint8).tobytes()
    assert baselines.xz_bits_per_byte(noise, noise) < 0.2
    assert baselines.xz_bits_per_byte(b"a" * 4000, noise) > 7


def test_hidden_files_and_folders_are_skipped(tmp_path):
    for name in (".git/HEAD", "a/.cache/b", ".note", "a/text"):
        (tmp_path / ".data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".data" / name).write_text(name)
    assert readers.read_documents(str(tmp_path / ".data")) == ["a/text"]
