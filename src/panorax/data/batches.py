"""Batches as pure functions of (seed, step): nothing to save, nothing to rewind, any step's batch at once."""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from panorax.core.errors import UserError


def windows(tokens: np.ndarray, batch: int, length: int, seed: int, step: int) -> np.ndarray:
    """The `step`-th `batch` windows of `length` consecutive tokens (int32, shape (batch, length)) from a 1-D array or memmap.

    Every epoch cuts the tokens into windows from a new offset and visits each once, in a new order.
    """
    if len(tokens) < length:
        raise UserError(f"the data has {len(tokens)} tokens, fewer than one window of {length}")
    n = max(len(tokens) // length - 1, 1)
    offsets = [
        _offset(len(tokens) - n * length + 1, seed, position // n)
        for position in range(step * batch, (step + 1) * batch)
    ]
    starts = offsets + length * epochs(n, batch, seed, step)
    return np.stack([tokens[s : s + length] for s in starts]).astype(np.int32)


@functools.lru_cache(maxsize=4)
def _offset(room: int, seed: int, epoch: int) -> int:
    return int(np.random.default_rng((seed, epoch, 1)).integers(room))


def rows(tokens: np.ndarray, length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of `length + 1` tokens starting every `stride` <= `length`, weighted so that every token but the first is predicted once.

    Returns (windows int32 (n, length + 1), weights float32 (n, length) over their predictions). A window after the first counts its last
    `stride` predictions, so each has at least `length - stride` tokens before it; what lies beyond the end is padded with 0 and weight 0.
    """
    if not 1 <= stride <= length:
        raise ValueError(f"the stride must lie between 1 and the window's {length}, got {stride}")
    n = max(-(-(len(tokens) - 1 - length) // stride) + 1, 1)
    padded = np.zeros((n - 1) * stride + length + 1, np.int32)
    padded[: len(tokens)] = tokens
    place = np.arange(n)[:, None] * stride + np.arange(length + 1)
    fresh = (np.arange(length) >= length - stride) | (np.arange(n) == 0)[:, None]
    return padded[place], (fresh & (place[:, 1:] < len(tokens))).astype(np.float32)


def padded(arrays: dict[str, np.ndarray], batch: int) -> Iterator[dict[str, np.ndarray]]:
    """The rows of `arrays` in order, in batches of `batch` rows; the last one is filled up with zeros.

    Give the arrays a weight per row, which is then 0 for the rows that fill up: `weighted` does it.
    """
    n = len(next(iter(arrays.values())))
    for start in range(0, n, batch):
        part = {name: x[start : start + batch] for name, x in arrays.items()}
        fill = batch - min(batch, n - start)
        yield {name: np.pad(x, [(0, fill)] + [(0, 0)] * (x.ndim - 1)) for name, x in part.items()}


def weighted(arrays: dict[str, np.ndarray], batch: int) -> Iterator[dict[str, np.ndarray]]:
    """`padded` with "weight" (B,) float32: 1 for a row of the arrays, 0 for a row that fills up."""
    n = len(next(iter(arrays.values())))
    return padded({**arrays, "weight": np.ones(n, np.float32)}, batch)


def epochs(n: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Indices (batch,) of the `step`-th batch when `n` examples are visited in a new random order every epoch."""
    position = step * batch + np.arange(batch)
    epoch, place = np.divmod(position, n)
    return np.concatenate([_order(n, seed, int(e))[place[epoch == e]] for e in np.unique(epoch)])


@functools.lru_cache(maxsize=4)
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


def from_grain(dataset) -> Callable[[int], object]:
    """`batches(step)` from a `grain.MapDataset` that is already shuffled, repeated and batched.

    For corpora on disk (ArrayRecord, Parquet, a folder of shards): a MapDataset is indexed by step, so it resumes as exactly as
    an array in memory does. Example: `from_grain(grain.MapDataset.source(src).shuffle(seed).repeat().batch(32))`.
    """
    return lambda step: dataset[step]
