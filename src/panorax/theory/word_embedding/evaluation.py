"""Cosines of pairs of words, analogies, and the nearest words of a word."""

from collections.abc import Sequence

import numpy as np

from panorax.core.errors import UserError
from panorax.theory.word_embedding.word_pairs import Words


def related_pairs(words: Words, named: Sequence[str]) -> np.ndarray:
    """Ids (pairs, 2) of the pairs word:word whose words the text has.

    Raises UserError if it has no pair of them.
    """
    number = {name: i for i, name in enumerate(words.names)}
    split = [pair.split(":") for pair in named]
    found = [[number[w] for w in pair] for pair in split if set(pair) <= number.keys()]
    if not found:
        raise UserError("no pair of related words is in the text; give such pairs by --related")
    return np.array(found)


def random_pairs(size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """About n pairs of different ids below `size`, (pairs, 2)."""
    pairs = rng.integers(0, size, (n, 2))
    return pairs[pairs[:, 0] != pairs[:, 1]]


def analogies(words: Words, rng: np.random.Generator, per_pair: int = 10) -> np.ndarray:
    """Ids (questions, 4) of a, a + "s", b, b + "s", with up to `per_pair` random b for each a."""
    number = {name: i for i, name in enumerate(words.names)}
    plural = [(i, number[w + "s"]) for w, i in number.items() if len(w) > 2 and w + "s" in number]
    n = min(per_pair, len(plural) - 1)
    rows = [
        (*plural[i], *plural[(i + 1 + j) % len(plural)])
        for i in range(len(plural))
        for j in rng.choice(len(plural) - 1, n, replace=False)
    ]
    return np.array(rows, np.int32).reshape(-1, 4)


def normalized(x_VD: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of 0 stay 0."""
    return x_VD / np.maximum(np.linalg.norm(x_VD, axis=1, keepdims=True), 1e-12)


def cosines(x_VD: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows, (pairs,)."""
    x_VD = normalized(x_VD)
    return np.sum(x_VD[pairs[:, 0]] * x_VD[pairs[:, 1]], 1)


def solved_share(x_VD: np.ndarray, questions: np.ndarray) -> float:
    """Share of the analogies whose last word is found; 0 without questions."""
    x_VD = normalized(x_VD)
    a, a_plural, b, b_plural = questions.T
    score = (x_VD[a_plural] - x_VD[a] + x_VD[b]) @ x_VD.T
    for asked in (a, a_plural, b):
        score[np.arange(len(score)), asked] = -np.inf
    return float(np.mean(score.argmax(1) == b_plural)) if len(questions) else 0.0


def neighbours(x_VD: np.ndarray, words: Words, shown: Sequence[str], n: int = 8) -> str:
    """The n words of largest cosine with each of `shown` that the text has, a line each."""
    x_VD, lines = normalized(x_VD), []
    for name in shown:
        if name in words.names:
            nearest = np.argsort(-x_VD @ x_VD[words.names.index(name)])
            others = [words.names[i] for i in nearest if words.names[i] != name]
            lines.append(f"{name}: {' '.join(others[:n])}\n")
    return "".join(lines)
