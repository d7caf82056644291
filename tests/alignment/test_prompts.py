"""Prompts and right answers as rows of tokens."""

import dataclasses
import json

import numpy as np
import pytest

from panorax.alignment import instructions, prompts
from panorax.core.errors import UserError
from panorax.data import tasks, tokenizer

DATA = prompts.Data(generated=30, tested=9)


def tokens():
    texts = ["What is 1 plus 2? Add 3 and 4. 5 + 6 ="]
    return tokenizer.with_chat(tokenizer.BytePairs.train(texts, 300))


def test_a_row_holds_the_prompt_and_the_answer_up_to_its_end():
    known, split = tokens(), prompts.prompts_of(DATA, 0)
    assert (len(split.train), len(split.held_out)) == (30, 9)
    rows = prompts.load(split, known, 96, 6)
    first = {name: x[0] for name, x in rows.train.items()}
    asked, right = (message["content"] for message in split.train[0])
    assert tasks.verifier(asked, right) == 1
    np.testing.assert_array_equal(
        first["tokens"][: first["length"]], known.chat(split.train[0][:-1])
    )
    answer = [i for i in first["answer"] if i >= 0]
    assert known.decode(answer[:-1]) == right and answer[-1] == known.ends[0]
    assert "30 prompts" in rows.summary() and json.loads(rows.files()["prompts.json"])


def test_families_are_chosen_and_held_out_prompts_are_never_trained():
    both = prompts.prompts_of(dataclasses.replace(DATA, families=("add", "larger")), 0)
    asked = lambda part: [messages[0]["content"] for messages in part]
    assert {tasks.solved(text).family for text in asked(both.train)} == {"add", "larger"}
    assert not {*asked(both.train)} & {*asked(both.held_out)}
    with pytest.raises(ValueError, match="no family of tasks is named sub; there are copy"):
        prompts.Data(families=("sub",))


def test_prompts_that_do_not_fit_are_left_out():
    long = instructions.turns("What is 1 plus 2? " * 40, "3")
    split = prompts.prompts_of(DATA, 0)
    mixed = split._replace(train=(*split.train, long))
    rows = prompts.load(mixed, tokens(), 96, 6)
    assert len(rows.train["length"]) == 30
    assert "1 too long for the context are left out" in rows.summary()
    with pytest.raises(UserError, match="no training prompt has up to 4 tokens and an answer of"):
        prompts.load(split, tokens(), 4, 6)
