"""Conversations and preferences: their formats in files, and their split into two parts.

A message is an object with a "role" (ROLES) and a text "content". A record is one of

    {"messages": [message, ...]}                              a conversation
    {"prompt": text, "completion": text}                      a message of the user and its answer
    {"prompt": text, "chosen": text, "rejected": text}        a preference between two answers

A list of messages may replace each of the texts. A message may have other keys for the chat
template, such as "tool_calls", with which it needs no content.
"""

import hashlib
import json
from collections.abc import Callable
from typing import NamedTuple

from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, checked
from panorax.data.readers import split_folder
from panorax.data.record_files import Record, read_records

ROLES = ("system", "user", "assistant", "tool")
CONVERSATION = (
    '{"messages": [{"role": role, "content": text}, ...]} or {"prompt": ..., "completion": ...}'
)
PREFERENCE = {
    "prompt": "the message before both answers",
    "chosen": "the answer that won",
    "rejected": "the answer that lost",
}

Messages = tuple[dict, ...]


class Preference(NamedTuple):
    """Two answers to one conversation."""

    prompt: Messages
    chosen: Messages
    rejected: Messages


class Split(NamedTuple):
    """Training and held-out items, which are disjoint."""

    train: tuple
    held_out: tuple
    how: str
    """source of the held-out items: their path, or their share of the data"""


@checked
class Source:
    """A file of conversations or preferences, and its split."""

    path: str | None = None
    """.jsonl or .parquet file of records, or folder of such files; None for generated tasks"""
    held_out: PositiveShare = 0.05
    """share of the records that is held out, without a held-out file"""
    held_out_path: str | None = None
    """file or folder of the held-out records; None for the share, or for the val.jsonl beside a
    train.jsonl in the folder of the data"""
    at_most: Count | None = None
    """largest number of records; None for all"""

    def __post_init__(self):
        if not 0 < self.held_out < 1:
            raise ValueError(f"data.held-out must lie between 0 and 1, got {self.held_out}")


def conversation(record: Record) -> Messages:
    """The messages of a record. Raises UserError unless they are valid and have an answer."""
    value, where = record
    if "messages" in value:
        messages = _messages(value["messages"], f'{where}: "messages"')
    elif {"prompt", "completion"} <= value.keys():
        answer = _turns(value["completion"], "assistant", f'{where}: "completion"')
        messages = (*_turns(value["prompt"], "user", f'{where}: "prompt"'), *answer)
    elif {"chosen", "rejected"} & value.keys():
        raise UserError(f"{where}: a preference, but conversations are trained: {CONVERSATION}")
    else:
        raise UserError(f"{where}: expected {CONVERSATION}, got the keys {_keys(value)}")
    if messages[-1]["role"] != "assistant":
        last = messages[-1]["role"]
        raise UserError(f"{where}: the last message must be the assistant's answer, not {last}'s")
    return messages


def preference(record: Record) -> Preference:
    """The preference of a record. Raises UserError unless it has a prompt and two answers."""
    value, where = record
    for key, meaning in PREFERENCE.items():
        if key not in value:
            raise UserError(f'{where}: no "{key}", {meaning}; got the keys {_keys(value)}')
    prompt = _turns(value["prompt"], "user", f'{where}: "prompt"')
    answers = {
        key: _turns(value[key], "assistant", f'{where}: "{key}"') for key in ("chosen", "rejected")
    }
    for key, messages in answers.items():
        if messages[-1]["role"] != "assistant":
            raise UserError(f'{where}: "{key}" must be an answer of the assistant')
    return Preference(prompt, **answers)


def _keys(value: dict) -> str:
    return ", ".join(map(str, value)) or "none"


def _turns(value, role: str, where: str) -> Messages:
    """The messages of a prompt or an answer: a list, or a text of `role`."""
    if isinstance(value, str):
        return ({"role": role, "content": value},)
    return _messages(value, where)


def _messages(value, where: str) -> Messages:
    """Valid messages. Raises UserError for anything else."""
    if not isinstance(value, list) or not value:
        raise UserError(f"{where} must be a list of messages")
    for n, message in enumerate(value, 1):
        if not isinstance(message, dict) or "role" not in message:
            raise UserError(f'{where}: message {n} must be {{"role": role, "content": text}}')
        if message["role"] not in ROLES:
            accepted = ", ".join(ROLES)
            raise UserError(f"{where}: unknown role {message['role']!r}; roles are {accepted}")
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            raise UserError(f"{where}: message {n} has no text as its content")
    return tuple(value)


def read(cfg: Source, parse: Callable[[Record], object]) -> Split:
    """The items of the files of `cfg`, which `parse` makes of their records, without duplicates.

    Records are held out in the order of the SHA-256 of their JSON. Raises UserError if a path
    cannot be read, a record is invalid, or nothing is left to train on or to hold out.
    """
    path, held_out_path = cfg.path, cfg.held_out_path
    if held_out_path is None:
        path, held_out_path = split_folder(path) or (path, None)

    def items(path: str) -> dict[str, object]:
        parsed = [parse(record) for record in read_records(path)[: cfg.at_most]]
        return {json.dumps(item, sort_keys=True): item for item in parsed}

    records = items(path)
    if held_out_path is not None:
        chosen = items(held_out_path)
        train = {text: item for text, item in records.items() if text not in chosen}
        if not train:
            raise UserError(f"all records of {path} are also in {held_out_path}")
        return Split((*train.values(),), (*chosen.values(),), held_out_path)
    if len(records) < 2:
        raise UserError(f"{path} holds one record; two are needed, one of them held out")
    ordered = sorted(records, key=lambda text: hashlib.sha256(text.encode()).digest())
    n = min(max(round(cfg.held_out * len(ordered)), 1), len(ordered) - 1)
    of = lambda texts: tuple(records[text] for text in texts)
    return Split(of(ordered[n:]), of(ordered[:n]), f"{cfg.held_out:.3g} of the records")


def summary(split: Split, what: str) -> str:
    """One line: the number of items of both parts, and what is held out."""
    count = lambda items: f"{len(items):,} {what}{'' if len(items) == 1 else 's'}"
    return f"{count(split.train)}, {count(split.held_out)} held out ({split.how})"
