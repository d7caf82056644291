"""Conversations and preferences of users' files, and what is refused in one line."""

import json

import pytest

from panorax.core.errors import UserError
from panorax.data.conversations import Source, conversation, preference, read
from panorax.data.record_files import Record

USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def test_texts_and_lists_of_messages_are_one_conversation():
    expected = (USER, BOT)
    for value in (
        {"messages": [USER, BOT]},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": [USER], "completion": [BOT]},
        {"prompt": [USER], "completion": "Hello", "source": "other keys are ignored"},
    ):
        assert conversation(Record(value, "f, line 1")) == expected
    called = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    assert conversation(Record({"messages": [USER, called]}, "")) == (USER, called)


def test_a_preference_has_a_prompt_and_two_answers():
    value = {"prompt": "Hi", "chosen": "Hello", "rejected": [{**BOT, "content": "Go"}]}
    got = preference(Record(value, ""))
    assert got.prompt == (USER,) and got.chosen == (BOT,)
    assert got.rejected[0]["content"] == "Go"


@pytest.mark.parametrize(
    "parse, value, message",
    [
        (conversation, {"messages": [{**USER, "role": "robot"}]}, "unknown role 'robot'; roles"),
        (conversation, {"messages": [USER]}, "the last message must be the assistant's answer"),
        (conversation, {"messages": []}, '"messages" must be a list of messages'),
        (conversation, {"messages": "Hi"}, '"messages" must be a list of messages'),
        (conversation, {"messages": [{"content": "Hi"}]}, "message 1 must be"),
        (conversation, {"messages": [USER, {"role": "assistant"}]}, "message 2 has no text"),
        (conversation, {"prompt": "Hi", "completion": 3}, '"completion" must be a list'),
        (conversation, {"text": "Hi"}, "got the keys text"),
        (conversation, {}, "got the keys none"),
        (conversation, {"prompt": "a", "chosen": "b", "rejected": "c"}, "a preference, but"),
        (preference, {"prompt": "a", "chosen": "b"}, 'no "rejected", the answer that lost'),
        (preference, {"chosen": "b", "rejected": "c"}, 'no "prompt"'),
        (preference, {"prompt": "a", "chosen": [USER], "rejected": "c"}, '"chosen" must be an'),
    ],
)
def test_a_faulty_record_is_named_in_one_line(parse, value, message):
    with pytest.raises(UserError) as raised:
        parse(Record(value, "chats.jsonl, line 7"))
    text = str(raised.value)
    assert text.startswith("chats.jsonl, line 7: ") and message in text and "\n" not in text


def write(path, n, start=0):
    lines = [{"prompt": f"question {i}", "completion": f"{i}"} for i in range(start, start + n)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_share_is_held_out_whatever_the_order_and_duplicates(tmp_path):
    path = write(tmp_path / "a.jsonl", 20)
    split = read(Source(path, held_out=0.25), conversation)
    assert len(split.train) == 15 and len(split.held_out) == 5
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    (tmp_path / "b.jsonl").write_text("\n".join([*reversed(lines), *lines[:3]]))
    assert read(Source(str(tmp_path / "b.jsonl"), held_out=0.25), conversation) == split
    assert len(read(Source(path, at_most=4), conversation).train) == 3
    with pytest.raises(UserError, match="one record"):
        read(Source(write(tmp_path / "one.jsonl", 1)), conversation)
    with pytest.raises(UserError, match="between 0 and 1"):
        Source(held_out=1.0)


def test_a_held_out_file_leaves_training(tmp_path):
    whole = write(tmp_path / "train.jsonl", 6)
    chosen = write(tmp_path / "val.jsonl", 3, start=4)
    by_path = read(Source(whole, held_out_path=chosen), conversation)
    assert len(by_path.train) == 4 and len(by_path.held_out) == 3 and by_path.how == chosen
    assert read(Source(str(tmp_path)), conversation) == by_path
    with pytest.raises(UserError, match="all records of"):
        read(Source(chosen, held_out_path=chosen), conversation)
