"""Batches as pure functions of (seed, step).

A data pipeline has no state to save: a resumed run computes the batch of its step directly.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from panorax.core.errors import UserError


def windows(tokens: np.ndarray, batch: int, length: int, seed: int, step: int) -> np.ndarray:
    """Windows of `length` consecutive tokens for one step, int32 (batch, length).

    tokens: a 1-D array or memmap. Each epoch cuts the tokens into windows from a new offset and
    visits each window once, in a new order. Raises UserError if `tokens` is shorter than a window.
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
    """Overlapping windows whose weights count each token except the first exactly once.

    Returns windows int32 (n, length + 1), one every `stride` tokens, and the weights of their
    predictions, float32 (n, length). Each window after the first counts its last `stride`
    predictions, which have at least `length - stride` tokens before them. The last window is padded
    with zeros of weight 0. Raises ValueError unless 1 <= stride <= length.
    """
    if not 1 <= stride <= length:
        raise ValueError(f"the stride must lie between 1 and the window's {length}, got {stride}")
    n = max(-(-(len(tokens) - 1 - length) // stride) + 1, 1)
    padded = np.zeros((n - 1) * stride + length + 1, np.int32)
    padded[: len(tokens)] = tokens
    index = np.arange(n)[:, None] * stride + np.arange(length + 1)
    counted = (np.arange(length) >= length - stride) | (np.arange(n) == 0)[:, None]
    return padded[index], (counted & (index[:, 1:] < len(tokens))).astype(np.float32)


def padded(arrays: dict[str, np.ndarray], batch: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields the rows of `arrays` in order, `batch` at a time; zeros pad the last batch.

    The arrays should include a weight per row, which is then 0 for padding; `weighted` adds one.
    """
    n = len(next(iter(arrays.values())))
    for start in range(0, n, batch):
        part = {name: x[start : start + batch] for name, x in arrays.items()}
        fill = batch - min(batch, n - start)
        yield {name: np.pad(x, [(0, fill)] + [(0, 0)] * (x.ndim - 1)) for name, x in part.items()}


def weighted(arrays: dict[str, np.ndarray], batch: int) -> Iterator[dict[str, np.ndarray]]:
    """`padded` with a "weight" per row, float32 (B,): 1 for a row of `arrays`, 0 for padding."""
    n = len(next(iter(arrays.values())))
    return padded({**arrays, "weight": np.ones(n, np.float32)}, batch)


def epochs(n: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Indices (batch,) of one step's examples; each epoch visits all `n` in a new random order."""
    epoch, index = np.divmod(step * batch + np.arange(batch), n)
    return np.concatenate([_order(n, seed, int(e))[index[epoch == e]] for e in np.unique(epoch)])


@functools.lru_cache(maxsize=4)
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


def from_grain(dataset) -> Callable[[int], object]:
    """`batches(step)` of a `grain.MapDataset` that is already shuffled, repeated and batched.

    This serves corpora on disk (ArrayRecord, Parquet, a folder of shards). A MapDataset is indexed
    by step, so a resumed run reads the same batches.
    Example: `from_grain(grain.MapDataset.source(src).shuffle(seed).repeat().batch(32))`.
    """
    return lambda step: dataset[step]
