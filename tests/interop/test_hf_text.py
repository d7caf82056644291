"""Tokenizer, chat template and sampling of a folder; errors are one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.data import tokenizer
from panorax.interop import hf_text
from panorax.ops.sampling import Sampling

USER = [{"role": "user", "content": "the cat"}]


def refused(read, directory) -> str:
    """The one-line error for a folder."""
    with pytest.raises(UserError) as error:
        read(directory)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_prompt_starts_with_bos_and_a_chat_follows_its_template(
    write_tokenizer, tmp_path, byte_level
):
    tokens = hf_text.tokenizer(write_tokenizer(tmp_path))
    plain = byte_level.encode("the cat", add_special_tokens=False).ids
    assert tokens.encode("the cat") == plain and tokens.prompt("the cat") == [0, *plain]
    assert tokens.chat(USER) == [0, 2, *plain, 1, 3]
    assert tokens.decode([0, 2, *plain, 1]) == "the cat"
    assert tokens.special == (("bos_token", "<s>"), ("eos_token", "<|end|>"))
    assert tokens.vocab_size == byte_level.get_vocab_size()


@pytest.mark.parametrize(
    "config, tokenizer_config, generation_config, ends",
    [
        ({}, {}, None, (1,)),
        ({"eos_token_id": 7}, {}, None, (7,)),
        ({"eos_token_id": 7}, {}, {"eos_token_id": [3, 1]}, (3, 1)),
        ({"eos_token_id": [7, 8]}, {}, {"do_sample": False}, (7, 8)),
        ({}, {"eos_token": "<s>"}, None, (0,)),
    ],
)
def test_end_ids_come_from_the_first_file_that_has_them(
    write_tokenizer, tmp_path, config, tokenizer_config, generation_config, ends
):
    directory = write_tokenizer(tmp_path, config, tokenizer_config, generation_config)
    assert hf_text.tokenizer(directory).ends == ends


@pytest.mark.parametrize("ends", ["<|end|>", [], [1, "x"], [None], True, 1.0, -1, [2**40], {}])
def test_an_invalid_end_id_is_refused(write_tokenizer, tmp_path, ends):
    directory = write_tokenizer(tmp_path, generation_config={"eos_token_id": ends})
    assert "eos_token_id" in refused(hf_text.tokenizer, directory)


@pytest.mark.parametrize("eos", ["<nowhere>", None, 3, {"lstrip": False}, {"content": 3}])
def test_a_missing_end_token_is_refused(write_tokenizer, tmp_path, eos):
    directory = write_tokenizer(tmp_path, tokenizer_config={"eos_token": eos})
    assert "defines no end-of-text token" in refused(hf_text.tokenizer, directory)


def test_a_template_is_read_from_the_config_or_from_its_own_file(write_tokenizer, tmp_path):
    named = [{"name": "tool_use", "template": "t"}, 3, {"name": "default", "template": "d"}]
    for templates, expected in ((named, "d"), (named[:1], None)):
        write_tokenizer(tmp_path, tokenizer_config={"chat_template": templates})
        assert hf_text.tokenizer(tmp_path).template == expected
    (tmp_path / "chat_template.jinja").write_text("é{{ messages }}", encoding="utf-8")
    assert hf_text.tokenizer(tmp_path).template == "é{{ messages }}"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    assert "chat_template.jinja cannot be read as UTF-8" in refused(hf_text.tokenizer, tmp_path)


@pytest.mark.parametrize("template", [3, {"default": "x"}, [{"name": "default", "template": 3}]])
def test_a_template_of_another_type_is_refused(write_tokenizer, tmp_path, template):
    directory = write_tokenizer(tmp_path, tokenizer_config={"chat_template": template})
    assert "chat_template must be a text" in refused(hf_text.tokenizer, directory)


def test_stored_truncation_and_padding_are_disabled(write_tokenizer, tmp_path, byte_level):
    stored = type(byte_level).from_str(byte_level.to_str())
    stored.enable_truncation(3)
    stored.enable_padding(length=64)
    tokens = hf_text.tokenizer(write_tokenizer(tmp_path, tokens=stored))
    text = "the cat sat on the mat"
    assert tokens.prompt(text) == byte_level.encode(text).ids


def test_ids_may_have_gaps():
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"a": 0, "b": 40}, unk_token="a"))
    tokens = tokenizer.Pretrained(words, (0,))
    assert tokens.vocab_size == 41


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": "1.0"}',
        "[" * 100_000,
        '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}',
        "\xff",
    ],
)
def test_a_damaged_or_missing_tokenizer_is_refused(write_tokenizer, tmp_path, text):
    (write_tokenizer(tmp_path) / "tokenizer.json").write_text(text, encoding="latin1")
    assert "tokenizer.json cannot be read" in refused(hf_text.tokenizer, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    message = refused(hf_text.tokenizer, tmp_path)
    assert "has no tokenizer.json; other tokenizer files are not read" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff", '{"eos_token": "\\ud800"}'])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "generation_config.json", "config.json"])
def test_a_damaged_settings_file_is_refused(write_tokenizer, tmp_path, file, text):
    (write_tokenizer(tmp_path) / file).write_text(text, encoding="latin1")
    assert file in refused(hf_text.tokenizer, tmp_path)


@pytest.mark.parametrize(
    "generation_config, expected",
    [
        (None, Sampling(temperature=0.0)),
        ({"temperature": 0.6}, Sampling(temperature=0.0)),
        ({"do_sample": True}, Sampling(top_k=50)),
        ({"do_sample": True, "temperature": 1, "top_p": 1}, Sampling(top_k=50)),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
            Sampling(temperature=0.6, top_k=50, top_p=0.9),
        ),
        ({"do_sample": True, "top_k": 0, "min_p": 0.1, "temperature": None}, Sampling(min_p=0.1)),
    ],
)
def test_sampling_follows_generation_config(write_tokenizer, tmp_path, generation_config, expected):
    directory = write_tokenizer(tmp_path, generation_config=generation_config)
    assert hf_text.sampling(directory) == expected


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from(["temperature", "top_k", "top_p", "min_p"]), ANYTHING)
def test_any_sampling_is_read_or_refused(tmp_path_factory, name, value):
    directory = tmp_path_factory.mktemp("drawn")
    (directory / "generation_config.json").write_text(json.dumps({"do_sample": True, name: value}))
    try:
        hf_text.sampling(directory)
    except UserError as error:
        assert str(error).isprintable() and "generation_config.json: " in str(error)


def test_byte_pairs_become_a_tokenizer_of_the_library():
    tokens = tokenizer.BytePairs.train(["the cat sat on the mat"], 280)
    assert hf_text.library(tokens).encode("the cat").ids == tokens.prompt("the cat")
    assert tokens.library.encode("the cat").ids == tokens.encode("the cat")
    assert hf_text.settings(tokens) == {"bos_token": tokenizer.END, "eos_token": tokenizer.END}
