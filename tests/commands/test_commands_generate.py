"""Prompts from the command line and from files; growing texts in whole characters."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import Pieces

from panorax.commands import generate as writing
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data.tokenizer import Bytes
from panorax.nets.decoders import llama
from panorax.nets.decoders.generate import stream
from panorax.ops.positions import DynamicNTKRope
from panorax.ops.sampling import Sampling

TOKENS = Bytes()
CFG = llama.Model(vocab=257, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=8)
PARAMS = jax.tree.map(lambda x: 5 * x, core_spec.init(llama.spec(CFG), jax.random.key(1)))
MODEL = writing.LanguageModel(PARAMS, CFG, TOKENS, Sampling(temperature=0.0), None)


class Talking(Bytes):
    """Bytes with a chat template: one line for each message, and the names of tools."""

    def chat(self, messages, tools):
        lines = [f"{m['role']}:{m.get('content')}" for m in messages]
        return self.encode("\n".join(lines + [tool["name"] for tool in tools or ()]) + "\n")


def asked(texts=(), files=(), tokens=TOKENS, chat=False, system=None):
    return [
        (shown, tokens.decode(ids))
        for shown, ids in writing.prompts(texts, files, tokens, chat, system)
    ]


def test_prompts_come_from_options_and_then_from_files(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    lines = [
        json.dumps({"prompt": "é\u2028\x85b"}, ensure_ascii=False),
        "",
        '{"messages": [{"role": "user", "content": "hi", "name": "x"}]}',
        '{"messages": [{"role": "assistant", "tool_calls": [{}]}], "tools": [{"name": "add"}]}',
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [tmp_path / "a.txt", tmp_path / "b.jsonl"]
    assert asked(["x", "y"], files[:1]) == [("x", "x"), ("y", "y"), ("one\ntwo\n", "one\ntwo\n")]
    text = "é\u2028\x85b"
    conversations = [("", "user:hi\n"), ("", "assistant:None\nadd\n")]
    marked = tmp_path / "c.jsonl"
    marked.write_text(lines[0], encoding="utf-8-sig")
    assert asked([], [marked]) == [("é\u2028\x85b",) * 2]
    assert asked([], files[1:], Talking()) == [(text, text), *conversations]
    assert asked() == [("", "")] and asked(chat=True) == []
    assert writing.prompts(["x"], [], TOKENS, False, None)[0][1][0] == TOKENS.end


def test_the_system_message_comes_before_the_message_of_the_user(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "hi"}]}\n{"prompt": "ho"}'
    )
    conversations = asked(["x"], [tmp_path / "a.jsonl"], Talking(), chat=True, system="Be brief")
    assert conversations == [("", f"system:Be brief\nuser:{text}\n") for text in ("x", "hi", "ho")]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", b"\xff", "cannot be read as UTF-8 text"),
        ("a.jsonl", b"\xff", "cannot be read as UTF-8 text"),
        ("a.jsonl", b'\n\n{"prompt": "a"}\n{"prompt"', "line 4: "),
        ("a.jsonl", b"3", "line 1: "),
        ("a.jsonl", b'"prompt"', "line 1: "),
        ("a.jsonl", b'{"prompt": 3}', "line 1: "),
        ("a.jsonl", b'{"text": "a"}', "line 1: "),
        ("a.jsonl", b'{"messages": "hi"}', "line 1: "),
        ("a.jsonl", b'{"messages": [{"role": "user"}]}', "line 1: "),
        ("a.jsonl", b'{"messages": [{"role": "user", "content": "a"}], "tools": "b"}', "line 1: "),
        (
            "a.jsonl",
            b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}',
            "line 1: ",
        ),
        ("a.jsonl", b"[" * 100_000, "line 1: "),
        ("a.jsonl", b'{"prompt": "\\ud83d"}', "half of a character"),
    ],
)
def test_an_unusable_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        asked(files=[tmp_path / name], tokens=Talking())
    assert message in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "No such file or directory"),
        (b"{", "JSONDecodeError"),
        (b'{"kind": "x"}', "KeyError: 'x'"),
        (b"[]", "TypeError"),
        (b"\xff", "UnicodeDecodeError"),
        (b'{"kind": "byte-pairs", "tokenizer": {}}', "Exception"),
    ],
)
def test_a_run_without_a_readable_tokenizer_is_one_line(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match="tokenizer.json cannot be read as the tokenizer") as error:
        writing._tokenizer(tmp_path)
    assert reason in str(error.value) and str(error.value).isprintable()


def test_other_mistakes_are_one_line(tmp_path):
    for arguments, message in (
        (
            dict(files=[tmp_path / "none.txt"]),
            "none.txt cannot be read as UTF-8 text: No such file",
        ),
        (dict(files=[tmp_path]), "cannot be read as UTF-8 text: Is a directory"),
        (dict(texts=["a"], chat=True), "no chat template: give plain prompts"),
        (dict(texts=["\udcff"]), "half of a character"),
    ):
        with pytest.raises(UserError, match=message):
            asked(**arguments)


@given(st.text(max_size=30), st.integers(1, 5))
def test_characters_are_never_split(text, at_a_time):
    raw, out = text.encode(), Pieces()
    grown = [TOKENS.decode(raw[: n + at_a_time]) for n in range(0, len(raw), at_a_time)]
    writing.write_growing("prompt", iter(grown), out)
    assert out.getvalue() == "prompt" + text + "\n"
    assert "�" in text or not any("�" in piece for piece in out.pieces)


@pytest.mark.parametrize("cut", [b"\xf0\x9f\x99", b"\xc3", b"ab\xff"])
def test_an_incomplete_last_character_is_printed_once(cut):
    out = io.StringIO()
    writing.write_growing("", iter([TOKENS.decode(cut[:1]), TOKENS.decode(cut)]), out)
    assert out.getvalue() == TOKENS.decode(cut) + "\n"


def written(prompts, batch):
    out = Pieces()
    texts = writing.prompts(prompts, [], TOKENS, False, None)
    writing.write(MODEL, texts, new=40, batch=batch, seed=0, out=out)
    return out


def test_a_batch_equals_its_prompts_alone():
    prompts = ["a", "longer prompt", "é🙂"]
    alone = "".join(written([prompt], 8).getvalue() for prompt in prompts)
    assert written(prompts, 8).getvalue() == written(prompts, 2).getvalue() == alone


def test_texts_beyond_the_context_slide_and_say_so(capsys):
    model = MODEL._replace(context=32)
    prompts = writing.prompts(
        ["ab", "a longer prompt than the other one is"], [], TOKENS, False, None
    )
    out = Pieces()
    writing.write(model, prompts, new=60, batch=2, seed=0, out=out)
    message = capsys.readouterr().err
    assert "are more than the 32 that the model was trained to read" in message
    assert "continues from the last 16" in message and message.count("\n") == 1
    alone = Pieces()
    for prompt in prompts:
        writing.write(model, [prompt], new=60, batch=2, seed=0, out=alone)
    assert alone.getvalue() == out.getvalue()
    assert not capsys.readouterr().out
    writing.write(model, prompts[:1], new=20, batch=2, seed=0, out=out)
    dynamic = dataclasses.replace(CFG, positions=DynamicNTKRope(context=32))
    writing.write(model._replace(cfg=dynamic), prompts[:1], new=60, batch=2, seed=0, out=out)
    assert capsys.readouterr().err == ""


def test_a_single_prompt_is_printed_while_it_grows():
    out = written(["ab"], 8)
    assert out.pieces[0] == "ab" and len(out.pieces) > 3


def test_a_token_outside_the_vocabulary_and_an_empty_prompt_are_refused():
    with pytest.raises(
        UserError, match="a prompt has token 300, but the model's vocabulary is 257"
    ):
        writing.write(MODEL, [writing.Prompt("", [3, 300])], new=4, batch=1, seed=0)
    with pytest.raises(UserError, match="no empty prompt"):
        writing.write(MODEL, [writing.Prompt("", [])], new=4, batch=1, seed=0)


def test_seeds_differ_and_repeat():
    draw = lambda seed: [
        *stream(
            PARAMS,
            [[256, 3]],
            TOKENS,
            jax.random.key(seed),
            new=24,
            cfg=CFG,
            sampling=Sampling(temperature=1.0),
        )
    ][-1]
    assert draw(0) == draw(0) != draw(1)
    assert np.all([len(x) for x in draw(0)])
