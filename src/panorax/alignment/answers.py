"""Answers of a chat model to held-out conversations, and their agreement with the references."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from panorax.core.study import family
from panorax.data import tasks
from panorax.data.conversations import Messages
from panorax.nets.decoders.generate import stream
from panorax.ops.sampling import Sampling

GREEDY = Sampling(temperature=0.0)
ROWS = 200  # conversations that are answered at a time
SHOWN = 24  # answers in samples.txt


class Answer(NamedTuple):
    """What the model answered to a conversation."""

    messages: Messages
    """the conversation; its last message is the reference"""
    text: str

    @property
    def is_right(self) -> bool:
        """True if the answer is the reference, white space around it aside."""
        return self.text.strip() == self.messages[-1]["content"].strip()

    @property
    def prompt(self) -> str:
        """The last message of the user."""
        return self.messages[-2]["content"]


def answered(
    params, conversations: Sequence[Messages], tokens, key, cfg, sampling: Sampling = GREEDY
) -> list[Answer]:
    """An answer to each conversation without its last message.

    An answer has at most twice as many tokens as the longest reference.
    """
    references = [len(tokens.encode(messages[-1]["content"])) for messages in conversations]
    new, answers = 2 * max(references) + 1, []
    for start in range(0, len(conversations), ROWS):
        part = conversations[start : start + ROWS]
        prompts = [tokens.chat(messages[:-1]) for messages in part]
        pieces = stream(params, prompts, tokens, key, new=new, cfg=cfg, sampling=sampling)
        *_, texts = pieces
        answers += [Answer(messages, text) for messages, text in zip(part, texts, strict=True)]
    return answers


def scores(answers: Sequence[Answer]) -> dict[str, float]:
    """The share of right answers, over all and by family of generated tasks."""
    by_family = {}
    for answer in answers:
        if task := tasks.solved(answer.prompt):
            by_family.setdefault(task.family, []).append(answer.is_right)
    shares = {name: float(np.mean(right)) for name, right in by_family.items()}
    whole = float(np.mean([answer.is_right for answer in answers]))
    return {"exact_match": whole} | family("exact_match_{}", shares)


def shown(answers: Sequence[Answer]) -> str:
    """Prompts and answers as text, with the reference of a wrong answer."""
    lines = []
    for answer in answers[:SHOWN]:
        wrong = "" if answer.is_right else f"      (reference: {answer.messages[-1]['content']})"
        lines += [f"> {answer.prompt}", f"{answer.text}{wrong}", ""]
    return "\n".join(lines)
