"""What an environment is: pure functions, a space of actions, and an end of episode that says why it ended.

`Environment` is one episode of one world. `Environments` is n of them stepped together that start again by themselves:
`wrappers.vectorize` makes it from the first, and it is all that an algorithm sees. The config of an environment is a dataclass whose
module defines `environments(cfg, n) -> Environments`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core import struct


@dataclass(frozen=True)
class Discrete:
    """Actions 0 .. n-1, int32 of shape ()."""

    n: int


@dataclass(frozen=True)
class MultiDiscrete:
    """One of n_k choices for each k at once, int32 of shape (K,)."""

    n: tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """Vectors between `low` and `high`, float32 of shape (K,); a bound may be infinite."""

    low: tuple[float, ...]
    high: tuple[float, ...]


Space = Discrete | MultiDiscrete | Box


@struct.dataclass
class Observation:
    """`view`: an array of numbers. `legal`: bool (A,), the actions allowed here, `None` in worlds where all always are."""

    view: jax.Array
    legal: jax.Array | None = None


@struct.dataclass
class Step:
    """What followed an action. At the end of an episode `observation` is its last one, never the first of the next.

    `terminated`: the world ended, nothing more will be earned. `truncated`: only watching ended (a time limit): the state keeps its value.
    """

    observation: Observation
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


@dataclass(frozen=True)
class Environment:
    """reset(key) -> (state, observation); step(key, state, action) -> (state, Step). `state` is any pytree of arrays."""

    reset: Callable[[jax.Array], tuple[Any, Observation]]
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Step]]
    shape: tuple[int, ...]
    """of `Observation.view`"""
    actions: Space
    max_steps: int
    """no episode is longer"""


@dataclass(frozen=True)
class Environments:
    """n environments: reset(key) -> (state, observation_N); step(key, state, action_N) -> (state, observation_N, Step_N).

    The observation returned beside the Step is the one to act on next: where an episode ended, the first of the next.
    """

    n: int
    reset: Callable[[jax.Array], tuple[Any, Observation]]
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Observation, Step]]
    shape: tuple[int, ...]
    actions: Space
    max_steps: int
