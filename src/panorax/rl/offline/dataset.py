"""Offline data as arrays by name, and as npz files.

A dataset has M transitions in the order of their episodes:

    view, next_view   (M, *shape)   views before and after the action
    action            (M,)          action, a whole number
    reward            (M,)          reward
    terminated        (M,)          true if the action led to a terminal state
    truncated         (M,)          true if a time limit ended the episode
"""

import zipfile
from pathlib import Path

import numpy as np

from panorax.core.errors import UserError

KINDS = {
    "view": np.float32,
    "next_view": np.float32,
    "action": np.int32,
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
}
"""arrays of a dataset and their dtypes"""

TRAINED = ("view", "next_view", "action", "reward", "terminated")
"""arrays that one-step methods train on"""

Dataset = dict[str, np.ndarray]


def write(path: Path, dataset: Dataset) -> None:
    """Writes the dataset to an npz file."""
    np.savez_compressed(path, **dataset)


def read(path: Path) -> Dataset:
    """Reads a dataset from an npz file.

    Raises UserError for a file that cannot be read, and as `checked`.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"the offline data {path} cannot be read as npz: {error}") from error
    return checked(arrays, str(path))


def checked(arrays: dict[str, np.ndarray], name: str) -> Dataset:
    """The arrays as a dataset with the dtypes of KINDS.

    Raises UserError for missing or empty arrays, arrays of different lengths, views of different
    shapes, numbers that are not finite, and actions that are no whole numbers from 0.
    """
    missing = [key for key in KINDS if key not in arrays]
    if missing:
        raise UserError(f"{name} lacks {', '.join(missing)}; offline data has {', '.join(KINDS)}")
    lengths = {key: len(arrays[key]) if np.ndim(arrays[key]) else 0 for key in KINDS}
    if len({*lengths.values()}) > 1 or 0 in lengths.values():
        raise UserError(f"the arrays of {name} need one length above 0, and have {lengths}")
    shapes = arrays["view"].shape, arrays["next_view"].shape
    if shapes[0] != shapes[1]:
        raise UserError(f"view and next_view of {name} have different shapes {shapes}")
    for key in KINDS:
        if not np.isfinite(arrays[key]).all():
            raise UserError(f"{key} of {name} has numbers that are not finite")
    action = arrays["action"]
    if action.ndim != 1 or (action < 0).any() or (action != np.floor(action)).any():
        raise UserError(f"action of {name} must be whole numbers from 0, of shape (M,)")
    return {key: np.asarray(arrays[key], dtype) for key, dtype in KINDS.items()}


def episode_returns(dataset: Dataset) -> np.ndarray:
    """Undiscounted returns of the finished episodes."""
    ends = np.flatnonzero(dataset["terminated"] | dataset["truncated"])
    totals = np.cumsum(np.float64(dataset["reward"]))[ends]
    return np.diff(totals, prepend=0.0)
