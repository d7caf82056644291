"""Offline data from a file: an npz file of this library, or a folder of a Minari data set.

    panorax run rl/cql --data recorded --data.path steps.npz --data.environment CartPole-v1

`panorax.rl.offline.dataset` documents the arrays of an npz file, `panorax.rl.offline.from_minari`
the data sets of Minari, which need the extra minari.
"""

import functools
from pathlib import Path

from panorax.core.config import module_of
from panorax.core.ranges import checked
from panorax.rl.environments import from_gymnasium, from_gymnax, probes
from panorax.rl.environments.environment import Environments
from panorax.rl.offline import dataset as npz
from panorax.rl.offline import from_minari
from panorax.rl.offline.dataset import Dataset


@checked
class Config:
    """Transitions of a file."""

    path: str = "transitions.npz"
    """npz file, or folder of a Minari data set"""
    environment: from_gymnax.Config | from_gymnasium.Config | probes.Config = from_gymnax.Config()
    """environment of the transitions, in which the trained policy is evaluated"""


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies of the environment."""
    return module_of(cfg.environment).environments(cfg.environment, n)


@functools.cache
def dataset(cfg: Config) -> Dataset:
    """The transitions of the file. Raises UserError as the two readers."""
    path = Path(cfg.path)
    return from_minari.read(path) if path.is_dir() else npz.read(path)
