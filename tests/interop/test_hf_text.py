"""The tokenizer, chat template and sampling of a folder, and what is wrong with them in one line."""

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
    with pytest.raises(UserError) as said:
        read(directory)
    assert str(said.value).isprintable()
    return str(said.value)


def test_a_prompt_has_what_stands_before_a_text_and_a_conversation_has_what_its_template_says(
    write_tokenizer, tmp_path, byte_level
):
    tokens = hf_text.tokenizer(write_tokenizer(tmp_path))
    plain = byte_level.encode("the cat", add_special_tokens=False).ids
    assert tokens.encode("the cat") == plain and tokens.prompt("the cat") == [0, *plain]
    assert tokens.chat(USER) == [0, 2, *plain, 1, 3]
    assert tokens.decode([0, 2, *plain, 1]) == "the cat"
    assert (
        tokens.special == (("bos_token", "<s>"), ("eos_token", "<|end|>"))
        and tokens.vocab_size == byte_level.get_vocab_size()
    )


@pytest.mark.parametrize(
    "config, said, drawn, ends",
    [
        ({}, {}, None, (1,)),
        ({"eos_token_id": 7}, {}, None, (7,)),
        ({"eos_token_id": 7}, {}, {"eos_token_id": [3, 1]}, (3, 1)),
        ({"eos_token_id": [7, 8]}, {}, {"do_sample": False}, (7, 8)),
        ({}, {"eos_token": "<s>"}, None, (0,)),
    ],
)
def test_what_ends_a_text(write_tokenizer, tmp_path, config, said, drawn, ends):
    assert hf_text.tokenizer(write_tokenizer(tmp_path, config, said, drawn)).ends == ends


@pytest.mark.parametrize("ends", ["<|end|>", [], [1, "x"], [None], True, 1.0, -1, [2**40], {}])
def test_an_end_that_is_none_is_said(write_tokenizer, tmp_path, ends):
    assert "eos_token_id" in refused(
        hf_text.tokenizer, write_tokenizer(tmp_path, drawn={"eos_token_id": ends})
    )


@pytest.mark.parametrize("eos", ["<nowhere>", None, 3, {"lstrip": False}, {"content": 3}])
def test_an_end_token_that_is_not_there_is_said(write_tokenizer, tmp_path, eos):
    assert "does not say which token ends a text" in refused(
        hf_text.tokenizer, write_tokenizer(tmp_path, said={"eos_token": eos})
    )


def test_where_templates_are_kept(write_tokenizer, tmp_path):
    named = [{"name": "tool_use", "template": "t"}, 3, {"name": "default", "template": "d"}]
    assert (
        hf_text.tokenizer(write_tokenizer(tmp_path, said={"chat_template": named})).template == "d"
    )
    assert (
        hf_text.tokenizer(write_tokenizer(tmp_path, said={"chat_template": named[:1]})).template
        is None
    )
    (tmp_path / "chat_template.jinja").write_text("é{{ messages }}", encoding="utf-8")
    assert hf_text.tokenizer(tmp_path).template == "é{{ messages }}"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    assert "chat_template.jinja cannot be read as UTF-8" in refused(hf_text.tokenizer, tmp_path)


@pytest.mark.parametrize("template", [3, {"default": "x"}, [{"name": "default", "template": 3}]])
def test_a_template_that_is_no_text_is_said(write_tokenizer, tmp_path, template):
    assert "chat_template must be a text" in refused(
        hf_text.tokenizer, write_tokenizer(tmp_path, said={"chat_template": template})
    )


def test_nothing_is_cut_or_filled_up(write_tokenizer, tmp_path, byte_level):
    kept = type(byte_level).from_str(byte_level.to_str())
    kept.enable_truncation(3)
    kept.enable_padding(length=64)
    tokens = hf_text.tokenizer(write_tokenizer(tmp_path, tokens=kept))
    assert (
        tokens.prompt("the cat sat on the mat") == byte_level.encode("the cat sat on the mat").ids
    )


def test_ids_may_have_gaps():
    from tokenizers import Tokenizer, models

    tokens = tokenizer.Pretrained(
        Tokenizer(models.WordLevel({"a": 0, "b": 40}, unk_token="a")), (0,)
    )
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
def test_a_damaged_tokenizer_is_said(write_tokenizer, tmp_path, text):
    (write_tokenizer(tmp_path) / "tokenizer.json").write_text(text, encoding="latin1")
    assert "tokenizer.json cannot be read" in refused(hf_text.tokenizer, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert "has no tokenizer.json; other tokenizer files are not read" in refused(
        hf_text.tokenizer, tmp_path
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\xff", '{"eos_token": "\\ud800"}'])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "generation_config.json", "config.json"])
def test_a_damaged_settings_file_is_said(write_tokenizer, tmp_path, file, text):
    (write_tokenizer(tmp_path) / file).write_text(text, encoding="latin1")
    assert file in refused(hf_text.tokenizer, tmp_path)


@pytest.mark.parametrize(
    "drawn, expected",
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
def test_sampling_is_what_the_folder_says(write_tokenizer, tmp_path, drawn, expected):
    assert hf_text.sampling(write_tokenizer(tmp_path, drawn=drawn)) == expected


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


@pytest.mark.parametrize(
    "tokens", [tokenizer.BytePairs.train(["the cat sat on the mat"], 280)], ids=["byte-pairs"]
)
def test_a_tokenizer_of_ours_becomes_one_of_theirs(tokens):
    theirs = hf_text.library(tokens)
    assert theirs.encode("the cat").ids == tokens.prompt("the cat") and tokens.library.encode(
        "the cat"
    ).ids == tokens.encode("the cat")
    assert hf_text.settings(tokens) == {"bos_token": tokenizer.END, "eos_token": tokenizer.END}
