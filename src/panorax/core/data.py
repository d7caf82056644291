"""Data as pure functions of (seed, step): nothing to save, nothing to rewind, any step's batch at once.

Readers for a user's own files raise UserError with one line that names the file and what is accepted.
"""

import functools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from panorax.core.errors import UserError


def windows(tokens: np.ndarray, batch: int, length: int, seed: int, step: int) -> np.ndarray:
    """The `step`-th `batch` windows of `length` consecutive tokens (int32, shape (batch, length)) from a 1-D array or memmap.

    Every epoch cuts the tokens into windows from a new offset and visits each once, in a new order.
    """
    if len(tokens) < length:
        raise UserError(f"the data has {len(tokens)} tokens, fewer than one window of {length}")
    n = max(len(tokens) // length - 1, 1)
    offsets = [_offset(len(tokens) - n * length + 1, seed, position // n) for position in range(step * batch, (step + 1) * batch)]
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


def read_tokens(path: str) -> np.ndarray:
    """A 1-D integer array from `.npy`, memory-mapped: a tokenised corpus of any size."""
    tokens = _load_numpy(Path(path), (".npy",), mmap_mode="r")
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise UserError(f"{path}: a 1-D integer array is needed, this is {tokens.dtype} of shape {tokens.shape}")
    return tokens


def read_arrays(path: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file, all with the same first axis."""
    with _load_numpy(Path(path), (".npz",)) as archive:
        missing = [name for name in names if name not in archive]
        if missing:
            raise UserError(f"{path} has no array {missing[0]!r}; needed: {', '.join(names)}; it has: {', '.join(archive) or 'none'}")
        arrays = {name: archive[name] for name in names}
    lengths = {name: a.shape[:1] for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{path}: the arrays differ in their first axis: {lengths}")
    return arrays


def _load_numpy(path: Path, suffixes: tuple[str, ...], **options):
    if not path.is_file():
        raise UserError(f"data file {path} does not exist")
    if path.suffix not in suffixes:
        raise UserError(f"{path}: a {' or '.join(suffixes)} file is needed")
    if path.suffix == ".npz" and not zipfile.is_zipfile(path):
        raise UserError(f"{path} cannot be read as .npz: it is no zip archive, or is cut short")
    try:
        return np.load(path, allow_pickle=False, **options)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read as {path.suffix}: {str(error).splitlines()[0]}") from error


def read_object(path: Path, optional: bool = False) -> dict:
    """The object that a JSON file holds; with `optional`, an empty one where there is no file."""
    if optional and not path.exists():
        return {}
    if not path.is_file():
        raise UserError(f"{path.parent} has no {path.name}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(found, ensure_ascii=False).encode()  # refuses halves of characters, which no tokenizer takes
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object")
    return found


def read_documents(path: str) -> list[str]:
    """Texts of a file, or of every file below a folder in the order of their names; UTF-8, empty files left out.

    Raises UserError for a path that is missing, has no text, or has a file that is not UTF-8.
    """
    texts = [text for _, text in _texts(Path(path)) if text.strip()]
    if not texts:
        raise UserError(f"{path} holds no text")
    return texts


def _texts(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise UserError(f"data path {path} does not exist")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    for file in files:
        try:
            yield file, file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text (byte {error.start})") from error
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}") from error
