"""Generated tasks: prompts determine answers, and held-out instances are never trained."""

import numpy as np
import pytest

from panorax.data import tasks

ANSWERS = {
    "Repeat k a t o.": "k a t o",
    "Write k a t o from its end.": "o t a k",
    "Shout u l i.": "U L I",
    "Put k a w o in alphabetical order.": "a k o w",
    "Count the words: lu, oto, awan.": "3",
    "What is the second letter of k a t o?": "a",
    "In k a t o, what follows a?": "t",
    "What day is 2028-09-08?": "8 September 2028",
    "Give the larger one of 19 and 66.": "66",
    "1 + 19 =": "20",
}


def test_every_family_has_the_answer_of_a_person():
    assert {tasks.solved(prompt).family for prompt in ANSWERS} == set(tasks.FAMILIES)
    for prompt, answer in ANSWERS.items():
        assert tasks.verifier(prompt, f" {answer}\n") == 1.0
        assert tasks.verifier(prompt, answer + ".") == 0.0
    assert tasks.solved("What is love?") is None
    with pytest.raises(ValueError, match="no task: 'What is love"):
        tasks.verifier("What is love?", "")


@pytest.mark.parametrize("held_out", [False, True])
def test_a_prompt_states_one_task_in_one_phrasing(held_out):
    drawn = tasks.instances(1200, 3, held_out)
    for task in drawn:
        matches = [name for name, pattern in tasks.patterns() if pattern.fullmatch(task.prompt)]
        assert matches == [task.family] and tasks.solved(task.prompt) == task
    assert {task.family for task in drawn} == set(tasks.FAMILIES)


def test_no_held_out_instance_is_trained_in_any_phrasing():
    def fields(task):
        found = [p.fullmatch(task.prompt) for _, p in tasks.patterns()]
        return (task.family, *next(sorted(m.groupdict().items()) for m in found if m))

    key = lambda task: repr(fields(task))
    train, held_out = tasks.instances(3000, 0), tasks.instances(600, 0, held_out=True)
    assert not {key(t) for t in train} & {key(t) for t in held_out}
    assert len({t.prompt for t in held_out}) == 600
    assert train == tasks.instances(3000, 0) != tasks.instances(3000, 1)


def test_spoiled_answers_are_wrong():
    rng = np.random.default_rng(0)
    for task in tasks.instances(600, 5):
        assert tasks.verifier(task.prompt, tasks.spoiled(task, rng)) == 0.0
