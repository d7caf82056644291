"""Offline data as trajectories: returns-to-go, time steps, and windows of K steps.

The return-to-go of step t in an episode of T steps is the undiscounted sum of the rewards to come,
R_t = r_t + r_{t+1} + .. + r_{T-1}. Rows after the last end of an episode are left out, because
their returns are unknown.
Source: Chen et al. 2021, arXiv:2106.01345, section 3.
"""

from typing import NamedTuple

import numpy as np

from panorax.core.errors import UserError
from panorax.rl.offline.dataset import Dataset, episode_returns


class Trajectories(NamedTuple):
    """The M steps of all finished episodes, one episode after another."""

    view: np.ndarray
    """views before the actions, float32 (M, *shape)"""
    action: np.ndarray
    """actions, int32 (M,)"""
    return_to_go: np.ndarray
    """sum of the rewards from a step to the end of its episode, float32 (M,)"""
    timestep: np.ndarray
    """steps since the start of the episode, int32 (M,)"""


def ends(dataset: Dataset) -> np.ndarray:
    """Rows at which episodes end.

    Raises UserError if no episode ends.
    """
    rows = np.flatnonzero(dataset["terminated"] | dataset["truncated"])
    if not len(rows):
        raise UserError(
            "the offline data has no finished episode: set terminated or truncated at the last "
            "step of each episode"
        )
    return rows


def trajectories(dataset: Dataset) -> Trajectories:
    """The finished episodes of `dataset`. Raises UserError as `ends`."""
    last = ends(dataset)
    lengths = np.diff(last, prepend=-1)
    M = last[-1] + 1
    timestep = np.arange(M) - np.repeat(last + 1 - lengths, lengths)
    earned = np.cumsum(np.float64(dataset["reward"][:M]))
    to_go = np.repeat(earned[last], lengths) - earned + dataset["reward"][:M]
    return Trajectories(
        dataset["view"][:M], dataset["action"][:M], np.float32(to_go), np.int32(timestep)
    )


def best(dataset: Dataset, share: float) -> Dataset:
    """The finished episodes with the highest returns, at least one.

    share: number of these episodes over the number of all finished episodes, rounded up.
    """
    last, returns = ends(dataset), episode_returns(dataset)
    lengths = np.diff(last, prepend=-1)
    chosen = np.zeros(len(last), bool)
    chosen[np.argsort(-returns, kind="stable")[: int(np.ceil(share * len(last)))]] = True
    rows = np.flatnonzero(np.repeat(chosen, lengths))
    return {name: x[rows] for name, x in dataset.items()}


def windows(steps: Trajectories, row_B, K: int) -> dict:
    """Windows (B, K) of the K steps up to `row_B`, the newest last.

    An episode that starts later than its window leaves the first places empty: `mask` is False
    there. `steps` and `row_B` are arrays of NumPy or JAX.
    """
    offset_1K = np.arange(1 - K, 1)[None, :]
    row_BK = row_B[:, None] + offset_1K
    mask_BK = steps.timestep[row_B][:, None] + offset_1K >= 0
    row_BK = row_BK * mask_BK
    batch = {name: x[row_BK] for name, x in steps._asdict().items()}
    return batch | {"mask": mask_BK}
