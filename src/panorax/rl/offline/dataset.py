"""Offline data as arrays by name, and as npz files.

A dataset has M transitions in the order of their episodes:

    view, next_view   (M, *shape)   views before and after the action
    action            (M,)          action, a whole number
    reward            (M,)          reward
    terminated        (M,)          true if the action led to a terminal state
    truncated         (M,)          true if a time limit ended the episode
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from panorax.core.errors import UserError
from panorax.rl.environments.environment import Discrete, Environments

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
        with zipfile.ZipFile(path):  # np.load also accepts files that are no npz
            file = np.load(path)
        with file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the offline data {path} cannot be read as npz: {error}") from error
    return checked(arrays, str(path))


def checked(arrays: dict[str, np.ndarray], name: str) -> Dataset:
    """The arrays as a dataset with the dtypes of KINDS.

    Raises UserError for missing or empty arrays, arrays of different lengths, views of different
    shapes, other arrays that are not (M,), values that are no finite numbers, actions that are no
    whole numbers from 0, and flags other than 0 and 1.
    """
    missing = [key for key in KINDS if key not in arrays]
    if missing:
        raise UserError(f"{name} lacks {', '.join(missing)}; offline data has {', '.join(KINDS)}")
    arrays = {key: np.asarray(arrays[key]) for key in KINDS}
    lengths = {key: len(x) if x.ndim else 0 for key, x in arrays.items()}
    if len({*lengths.values()}) > 1 or 0 in lengths.values():
        raise UserError(f"the arrays of {name} need one length above 0, and have {lengths}")
    shapes = arrays["view"].shape, arrays["next_view"].shape
    if shapes[0] != shapes[1]:
        raise UserError(f"view and next_view of {name} have different shapes {shapes}")
    for key, x in arrays.items():
        if x.dtype.kind not in "biuf":
            raise UserError(f"{key} of {name} has the dtype {x.dtype} and must have numbers")
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(x.astype(np.float32))
        if not is_finite.all():
            row = int(np.argwhere(~is_finite)[0, 0])
            raise UserError(
                f"{key} of {name} has numbers that are not finite, the first in row {row}"
            )
        if key not in ("view", "next_view") and x.ndim != 1:
            raise UserError(f"{key} of {name} has the shape {x.shape} and must have {x.shape[:1]}")
    action = arrays["action"]
    if (action < 0).any() or (action != np.floor(action)).any():
        raise UserError(
            f"action of {name} must be whole numbers from 0, the number of a discrete action"
        )
    for key in ("terminated", "truncated"):
        if not np.isin(arrays[key], (0, 1)).all():
            raise UserError(f"{key} of {name} must be true or false, as a bool or as 0 and 1")
    return {key: np.asarray(arrays[key], dtype) for key, dtype in KINDS.items()}


def fitting(dataset: Dataset, envs: Environments) -> Dataset:
    """`dataset`, if its views and actions are those of `envs`; raises UserError otherwise."""
    largest, shape = int(dataset["action"].max()), dataset["view"].shape[1:]
    if not isinstance(envs.actions, Discrete):
        raise UserError(
            f"the offline data has discrete actions up to {largest}; the environment has "
            f"{envs.actions}"
        )
    if shape != envs.shape or largest >= envs.actions.n:
        raise UserError(
            f"the offline data has views {shape} and actions up to {largest}; the environment has "
            f"views {envs.shape} and {envs.actions.n} actions"
        )
    return dataset


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """The transitions of all `datasets`, one after another."""
    return {name: np.concatenate([dataset[name] for dataset in datasets]) for name in KINDS}


def episode_returns(dataset: Dataset) -> np.ndarray:
    """Undiscounted returns of the finished episodes."""
    ends = np.flatnonzero(dataset["terminated"] | dataset["truncated"])
    totals = np.cumsum(np.float64(dataset["reward"]))[ends]
    return np.diff(totals, prepend=0.0)
