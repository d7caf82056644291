"""Prompts with the only right answer to each, as tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panorax.alignment.instructions import turns
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.data import conversations, tasks
from panorax.data.conversations import Messages, Source, Split


@checked
class Data(Source):
    """Conversations of a file, whose last message is the right answer, or generated tasks."""

    families: tuple[str, ...] = ("larger", "count", "add")
    """families of generated tasks, without a path"""
    generated: Count = 2_000
    """number of generated training prompts, without a path"""
    tested: Count = 64
    """largest number of held-out prompts"""

    def __post_init__(self):
        super().__post_init__()
        if unknown := [name for name in self.families if name not in tasks.FAMILIES]:
            raise ValueError(
                f"no family of tasks is named {unknown[0]}; there are {' '.join(tasks.FAMILIES)}"
            )


@dataclass(frozen=True)
class Prompts:
    """Prompts and answers as rows.

    train, held_out: "tokens" (n, T) padded on the right, "length" (n,) of the prompts, and "answer"
    (n, A), which ends with an end token and is padded with -1; all int32.
    split: the conversations.
    """

    train: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    split: Split

    def files(self) -> dict[str, str]:
        """A digest that identifies the prompts, as a file of the run."""
        digest = hashlib.sha256(self.train["tokens"].tobytes() + self.held_out["tokens"].tobytes())
        facts = {"prompts": len(self.train["tokens"]), "sha256": digest.hexdigest()}
        return {"prompts.json": json.dumps(facts, indent=2) + "\n"}

    def summary(self) -> str:
        """One line: the prompts."""
        left_out = len(self.split.train) - len(self.train["tokens"])
        dropped = f"; {left_out:,} too long for the context are left out" if left_out else ""
        return f"data: {conversations.summary(self.split, 'prompt')}{dropped}"


def prompts_of(cfg: Data, seed: int) -> Split:
    """The prompts of a file, or those of generated tasks."""
    if cfg.path is not None:
        return conversations.read(cfg, conversations.conversation)

    def drawn(n: int, held_out: bool) -> tuple[Messages, ...]:
        every = len(tasks.FAMILIES) // len(cfg.families) + 1
        found = [
            task
            for task in tasks.instances(n * every, seed + 2, held_out)
            if task.family in cfg.families
        ]
        return tuple(turns(task.prompt, task.answer) for task in found[:n])

    return Split(drawn(cfg.generated, False), drawn(cfg.tested, True), "generated tasks")


def load(split: Split, tokens, context: int, new: int) -> Prompts:
    """Encodes prompts of up to `context` tokens whose answers have up to `new`.

    Raises UserError if no prompt of a part is short enough.
    """
    parts = [_rows(part, tokens, context, new) for part in (split.train, split.held_out)]
    for part, name in zip(parts, ("training", "held-out")):
        if not len(part["tokens"]):
            raise UserError(
                f"no {name} prompt has up to {context} tokens and an answer of up to {new}; raise "
                "--context or --new"
            )
    return Prompts(*parts, split)


def _rows(part: Sequence[Messages], tokens, context: int, new: int) -> dict[str, np.ndarray]:
    rows = []
    for messages in part:
        prompt, whole = tokens.chat(messages[:-1]), tokens.conversation(messages)[0]
        answer = whole[len(prompt) :]
        end = next((i for i, token in enumerate(answer) if token in tokens.ends), len(answer))
        if len(prompt) <= context and end < min(len(answer), new):
            rows.append((prompt, answer[: end + 1]))
    padded = lambda row, n, fill: [*row, *[fill] * (n - len(row))]
    return {
        "tokens": np.array([padded(p, context, 0) for p, _ in rows], np.int32),
        "length": np.array([len(p) for p, _ in rows], np.int32),
        "answer": np.array([padded(a, new, -1) for _, a in rows], np.int32),
    }
