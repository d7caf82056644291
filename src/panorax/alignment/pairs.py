"""Preferences as rows of tokens: a prompt with its chosen, its rejected and a mismatched answer."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from panorax.alignment.instructions import turns
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.data import conversations, packing, tasks
from panorax.data.batches import padded
from panorax.data.conversations import Messages, Preference, Source, Split

Rows = dict[str, dict[str, np.ndarray]]
"""rows of `panorax.data.packing` by answer: "chosen", "rejected" and "mismatched\""""


@checked
class Data(Source):
    """Preferences of a file, or generated ones between a right and a spoiled answer."""

    generated: Count = 6_000
    """number of generated training pairs, without a path"""
    tested: Count = 400
    """largest number of held-out prompts that the report answers"""


def preferences_of(cfg: Data, seed: int) -> Split:
    """The preferences of a file, or those of generated tasks."""
    if cfg.path is not None:
        return conversations.read(cfg, conversations.preference)
    rng = np.random.default_rng((seed, 3))

    def pair(task: tasks.Task) -> Preference:
        *prompt, chosen = turns(task.prompt, task.answer)
        *_, rejected = turns(task.prompt, tasks.spoiled(task, rng))
        return Preference(tuple(prompt), (chosen,), (rejected,))

    parts = (
        tasks.instances(cfg.generated, seed + 1),
        tasks.instances(cfg.tested, seed, held_out=True),
    )
    return Split(*(tuple(map(pair, part)) for part in parts), "generated tasks")


@dataclass(frozen=True)
class Pairs:
    """Preferences as rows, one answer each.

    train, held_out: rows by answer, in which row i belongs to preference i.
    split: the preferences.
    """

    train: Rows
    held_out: Rows
    split: Split

    def files(self) -> dict[str, str]:
        """A digest that identifies the rows, as a file of the run."""
        digest = hashlib.sha256()
        for part in (self.train, self.held_out):
            for rows in part.values():
                digest.update(rows["tokens"].tobytes())
        facts = {"pairs": len(self.train["chosen"]["tokens"]), "sha256": digest.hexdigest()}
        return {"pairs.json": json.dumps(facts, indent=2) + "\n"}

    def summary(self) -> str:
        """One line: the preferences, and those that are too long for a row."""
        left_out = len(self.split.train) - len(self.train["chosen"]["tokens"])
        dropped = f"; {left_out:,} longer than the context are left out" if left_out else ""
        return f"data: {conversations.summary(self.split, 'preference')}{dropped}"


def load(split: Split, tokens, context: int) -> Pairs:
    """Encodes preferences as rows of `context` predictions; longer preferences are left out.

    Raises UserError if none is short enough or the chat template refuses one.
    """
    parts = [_rows(part, tokens, context) for part in split[:2]]
    return Pairs(*parts, split)


def _rows(preferences: tuple[Preference, ...], tokens, context: int) -> Rows:
    pairs = [
        (answered(p.prompt, p.chosen, tokens), answered(p.prompt, p.rejected, tokens), p)
        for p in preferences
    ]
    kept = [x for x in pairs if max(len(x[0].ids), len(x[1].ids)) <= context + 1]
    if not kept:
        raise UserError(f"every preference is longer than {context} tokens: raise --context")
    # the answer of the next pair; the last prompt gets the answer of the first
    following = [p for *_, p in kept[1:] + kept[:1]]
    mismatched = [
        answered(p.prompt, other.chosen, tokens) for (*_, p), other in zip(kept, following)
    ]
    examples = {"chosen": [x[0] for x in kept], "rejected": [x[1] for x in kept]}
    return {
        name: packing.one_each(texts, context)
        for name, texts in (examples | {"mismatched": mismatched}).items()
    }


def answered(prompt: Messages, answer: Messages, tokens) -> packing.Example:
    """A prompt and an answer as ids, of which those of the answer count."""
    ids, _ = tokens.conversation((*prompt, *answer))
    start = len(tokens.chat(prompt))
    return packing.Example(ids, [i >= start for i in range(len(ids))])


def at(rows: Rows, index: np.ndarray) -> Rows:
    """The rows of some preferences."""
    return {answer: {name: x[index] for name, x in part.items()} for answer, part in rows.items()}


def in_batches(rows: Rows, batch: int) -> Iterator[Rows]:
    """Yields the rows of `batch` preferences at a time; zeros pad the last batch."""
    parts = zip(*(padded(part, batch) for part in rows.values()))
    return (dict(zip(rows, part)) for part in parts)
