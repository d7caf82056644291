"""Packing of short texts into rows of one length, without attention from one text to another.

Each position of a row has the number of its text, its segment, and its position in this text. A
decoder that reads them (`panorax.nets.decoders.packed`) computes for each text what it computes for
the text alone. Rows that were padded instead would spend most of their length on padding.
Source: Krell et al. 2021, arXiv:2107.02027.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np


class Example(NamedTuple):
    """A text as ids, and the ids that are trained."""

    ids: Sequence[int]
    trained: Sequence[bool]
    """True for each id that the loss counts, such as those of an answer"""


def pack(examples: Sequence[Example], length: int) -> dict[str, np.ndarray]:
    """Rows that hold the examples in their order, each in the row with the least sufficient room.

    Returns, with T = `length` predictions in each of n rows,

        tokens      (n, T + 1) int32, 0 for padding
        segments    (n, T + 1) int32: number of the text from 1 on, 0 for padding
        positions   (n, T + 1) int32: position in its text
        weights     (n, T) float32: 1 if the next token is trained and belongs to the same text

    An example is cut after T + 1 tokens, and left out if it then has no trained token.
    """
    rows, open_rows = [], [[] for _ in range(length + 2)]  # open rows by their remaining room
    for ids, trained in examples:
        ids, trained = ids[: length + 1], trained[: length + 1]
        if not any(trained[1:]):
            continue
        room = next((r for r in range(len(ids), length + 2) if open_rows[r]), None)
        row = [] if room is None else open_rows[room].pop()
        if room is None:
            rows.append(row)
        row.append(Example(ids, trained))
        open_rows[(length + 1 if room is None else room) - len(ids)].append(row)
    return _arrays(rows, length)


def _arrays(rows: list[list[Example]], length: int) -> dict[str, np.ndarray]:
    shape = (len(rows), length + 1)
    tokens, segments, positions = (np.zeros(shape, np.int32) for _ in range(3))
    trained = np.zeros(shape, bool)
    for i, row in enumerate(rows):
        start = 0
        for n, (ids, counted) in enumerate(row, 1):
            place = slice(start, start + len(ids))
            tokens[i, place], trained[i, place] = ids, counted
            segments[i, place], positions[i, place] = n, np.arange(len(ids))
            start += len(ids)
    weights = trained[:, 1:] & (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return {
        "tokens": tokens,
        "segments": segments,
        "positions": positions,
        "weights": weights.astype(np.float32),
    }


def shapes(batch: int, length: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of `batch` rows."""
    numbers = jax.ShapeDtypeStruct((batch, length + 1), np.int32)
    weights = jax.ShapeDtypeStruct((batch, length), np.float32)
    return dict.fromkeys(("tokens", "segments", "positions"), numbers) | {"weights": weights}


def unpack(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same texts, each alone in a row."""
    weights = np.pad(rows["weights"], ((0, 0), (1, 0)))
    examples = [
        Example(tokens[segments == n], trained[segments == n] > 0)
        for tokens, segments, trained in zip(rows["tokens"], rows["segments"], weights)
        for n in range(1, segments.max() + 1)
    ]
    return one_each(examples, rows["weights"].shape[1])


def one_each(examples: Sequence[Example], length: int) -> dict[str, np.ndarray]:
    """Rows that hold one example each, in order."""
    rows = [pack([example], length) for example in examples]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def texts(rows: dict[str, np.ndarray]) -> int:
    """Number of texts in the rows."""
    return int(rows["segments"].max(1).sum())


def filled(rows: dict[str, np.ndarray]) -> float:
    """Share of the positions that hold a token and no padding."""
    return float(np.mean(rows["segments"] > 0))


def balanced(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows as a batch whose weights have the mean 1 / T.

    The mean over rows of sum(weight * loss) is then the mean loss of the trained tokens of the
    batch, also when the batch is processed in parts that have different numbers of such tokens.
    """
    weights = rows["weights"]
    return rows | {"weights": weights * np.float32(len(weights) / max(weights.sum(), 1.0))}
