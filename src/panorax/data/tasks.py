"""Generated instructions with one exact answer each, in the style of Self-Instruct.

A family of tasks has several phrasings with fields, and a function from the fields to the answer.
The fields decide, by a hash, whether an instance is for training or held out, so that no phrasing
of a held-out instance is ever trained. A prompt determines its answer: `verifier` reads the fields
from the text.
Source: Wang et al. 2022, arXiv:2212.10560, for instructions of many kinds and phrasings.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HELD_OUT = 10  # one instance of this many is held out
MONTHS = (
    "January February March April May June July August September October November December"
).split()
PLACES = ("first", "second", "third")
PATTERNS = {
    "letters": "[a-z](?: [a-z])*",
    "a": r"\d+",
    "b": r"\d+",
    "date": r"\d{4}-\d\d-\d\d",
    "list": r"[a-z]+(?:, [a-z]+)*",
    "place": "|".join(PLACES),
    "letter": "[a-z]",
}
"""fields of phrasings, as regular expressions"""


class Task(NamedTuple):
    """An instance: what the user writes, and the only right answer."""

    family: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Family:
    """Tasks of one kind: phrasings, a draw of their fields, and the answer."""

    phrasings: tuple[str, ...]
    draw: Callable[[np.random.Generator], dict[str, str]]
    answer: Callable[..., str]


def word(rng: np.random.Generator, shortest: int = 3, longest: int = 5) -> str:
    """A random word in which consonants and vowels alternate."""
    n, vowel_first = rng.integers(shortest, longest + 1), rng.integers(2)
    letters = ("bcdfghjklmnprstvwz", "aeiou")
    return "".join(
        letters[(i + vowel_first) % 2][rng.integers((18, 5)[(i + vowel_first) % 2])]
        for i in range(n)
    )


def letters(rng: np.random.Generator, shortest: int, longest: int) -> dict[str, str]:
    """A random word letter by letter, which most tokenizers give a token each."""
    return {"letters": " ".join(word(rng, shortest, longest))}


def words(rng: np.random.Generator, n: int) -> str:
    return ", ".join(word(rng, 2, 4) for _ in range(n))


def a_letter_and_its_word(rng: np.random.Generator) -> dict[str, str]:
    """A word of different letters, and one of them that is not the last."""
    while len({*(chosen := word(rng, 4, 6))}) < len(chosen):
        pass
    return {"letters": " ".join(chosen), "letter": chosen[rng.integers(len(chosen) - 1)]}


def date(rng: np.random.Generator) -> dict[str, str]:
    year, month, day = rng.integers(1900, 2100), rng.integers(1, 13), rng.integers(1, 29)
    return {"date": f"{year}-{month:02d}-{day:02d}"}


def date_in_words(date: str) -> str:
    year, month, day = date.split("-")
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}"


FAMILIES = {
    "copy": Family(
        ("Repeat {letters}.", "Say {letters}.", "Write {letters} again."),
        lambda rng: letters(rng, 3, 7),
        lambda letters: letters,
    ),
    "reverse": Family(
        ("Reverse {letters}.", "Spell {letters} backwards.", "Write {letters} from its end."),
        lambda rng: letters(rng, 3, 5),
        lambda letters: letters[::-1],
    ),
    "uppercase": Family(
        ("Write {letters} in capital letters.", "Put {letters} in upper case.", "Shout {letters}."),
        lambda rng: letters(rng, 3, 6),
        lambda letters: letters.upper(),
    ),
    "sort": Family(
        ("Sort {letters}.", "Put {letters} in alphabetical order."),
        lambda rng: letters(rng, 3, 4),
        lambda letters: " ".join(sorted(letters.split())),
    ),
    "count": Family(
        ("How many words are in this list: {list}?", "Count the words: {list}."),
        lambda rng: {"list": words(rng, rng.integers(1, 7))},
        lambda list: str(len(list.split(", "))),
    ),
    "item": Family(
        ("What is the {place} letter of {letters}?", "Give the {place} letter: {letters}."),
        lambda rng: letters(rng, 3, 6) | {"place": str(rng.choice(PLACES))},
        lambda place, letters: letters.split()[PLACES.index(place)],
    ),
    "lookup": Family(
        ("Which letter comes after {letter} in {letters}?", "In {letters}, what follows {letter}?"),
        a_letter_and_its_word,
        lambda letters, letter: letters[letters.index(letter) + 2],
    ),
    "date": Family(
        ("Write the date {date} in words.", "What day is {date}?"),
        date,
        date_in_words,
    ),
    "larger": Family(
        ("Which number is larger, {a} or {b}?", "Give the larger one of {a} and {b}."),
        lambda rng: dict(zip("ab", map(str, rng.choice(range(10, 100), 2, replace=False)))),
        lambda a, b: str(max(int(a), int(b))),
    ),
    "add": Family(
        ("What is {a} plus {b}?", "Add {a} and {b}.", "{a} + {b} ="),
        lambda rng: {"a": str(rng.integers(20)), "b": str(rng.integers(20))},
        lambda a, b: str(int(a) + int(b)),
    ),
}


@functools.cache
def patterns() -> tuple[tuple[str, re.Pattern], ...]:
    """The families and the regular expressions of their phrasings."""

    def pattern(phrasing: str) -> re.Pattern:
        pieces = re.split(r"\{(\w+)\}", phrasing)  # text and fields alternate
        fields = [f"(?P<{name}>{PATTERNS[name]})" for name in pieces[1::2]]
        texts = [re.escape(text) for text in pieces[::2]]
        return re.compile("".join(x for pair in zip(texts, [*fields, ""]) for x in pair))

    return tuple((name, pattern(p)) for name, f in FAMILIES.items() for p in f.phrasings)


def solved(prompt: str) -> Task | None:
    """The task that a prompt states, None if it states none."""
    for name, pattern in patterns():
        if match := pattern.fullmatch(prompt):
            return Task(name, prompt, FAMILIES[name].answer(**match.groupdict()))
    return None


def verifier(prompt: str, completion: str) -> float:
    """1 if the completion is the answer that the prompt asks for, otherwise 0.

    White space around it does not count. Raises ValueError if the prompt states no task.
    """
    task = solved(prompt)
    if task is None:
        raise ValueError(f"no task: {prompt!r}")
    return float(completion.strip() == task.answer)


def is_held_out(family: str, fields: dict[str, str]) -> bool:
    """True for a tenth of the instances of a family, by the SHA-256 of its fields."""
    text = repr((family, sorted(fields.items())))
    return hashlib.sha256(text.encode()).digest()[0] % HELD_OUT == 0


def instances(n: int, seed: int, held_out: bool = False) -> tuple[Task, ...]:
    """`n` tasks of all families in turn, of one part; those that are held out are all different."""
    rng, tasks = np.random.default_rng((seed, int(held_out))), {}
    names = [*FAMILIES]
    drawn = []
    while len(drawn) < n:
        name = names[len(drawn) % len(names)]
        family = FAMILIES[name]
        fields = family.draw(rng)
        if is_held_out(name, fields) != held_out:
            continue
        prompt = family.phrasings[rng.integers(len(family.phrasings))].format(**fields)
        if held_out and prompt in tasks:
            continue
        tasks[prompt] = True
        drawn.append(Task(name, prompt, family.answer(**fields)))
    return tuple(drawn)


def spoiled(task: Task, rng: np.random.Generator) -> str:
    """A wrong or badly formatted answer: wrapped in words, another instance's, or misspelt."""
    kind = rng.integers(3)
    if kind == 0:
        return f"The answer is {task.answer}."
    if kind == 1:
        fields = FAMILIES[task.family].draw(rng)
        answer = FAMILIES[task.family].answer(**fields)
    else:
        at = rng.integers(len(task.answer))
        letter = "0123456789"[rng.integers(10)] if task.answer[at].isdigit() else word(rng)[0]
        answer = task.answer[:at] + letter + task.answer[at + 1 :]
    return answer if answer != task.answer else f"{task.answer}{task.answer}"
