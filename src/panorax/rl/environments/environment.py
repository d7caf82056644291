"""Environments as pure functions with an action space.

`Environment` runs one episode. `Environments` steps n copies together, each with automatic resets;
`wrappers.vectorize` makes the second from the first, and algorithms use only the second.
The config of an environment is a dataclass whose module defines
`environments(cfg, n) -> Environments`. The module may also define `ids()`, the names that its
Config accepts as `name`; `--environment NAME` on the command line then chooses it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core import struct
from panorax.core.errors import UserError


@dataclass(frozen=True)
class Discrete:
    """Actions 0 .. n-1, int32 of shape ()."""

    n: int
    """number of actions"""


@dataclass(frozen=True)
class MultiDiscrete:
    """K simultaneous choices, choice k among n_k, int32 of shape (K,)."""

    n: tuple[int, ...]
    """number of options of each choice"""


@dataclass(frozen=True)
class Box:
    """Vectors between `low` and `high`, float32 of shape (K,); bounds may be infinite."""

    low: tuple[float, ...]
    """lower bounds"""
    high: tuple[float, ...]
    """upper bounds"""


Space = Discrete | MultiDiscrete | Box


@struct.dataclass
class Observation:
    """The input of a policy."""

    view: jax.Array
    """observed array, of the environment's `shape`"""
    legal: jax.Array | None = None
    """mask of legal actions, bool (A,); None if all actions are always legal"""


@struct.dataclass
class Step:
    """The result of an action. At the end of an episode, `observation` is the final observation."""

    observation: Observation
    """observation after the action"""
    reward: jax.Array
    """reward, float32"""
    terminated: jax.Array
    """true if the episode ended in a terminal state, whose value is 0"""
    truncated: jax.Array
    """true if a time limit cut the episode off; the state's value is bootstrapped"""
    unscaled: jax.Array | None = None
    """reward of the environment before its normalisation; None if `reward` is it"""

    @property
    def earned(self) -> jax.Array:
        """The reward of the environment, which reported returns sum up."""
        return self.reward if self.unscaled is None else self.unscaled


@dataclass(frozen=True)
class Environment:
    """One episode of one environment. `state` is any pytree of arrays."""

    reset: Callable[[jax.Array], tuple[Any, Observation]]
    """reset(key) -> (state, observation)"""
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Step]]
    """step(key, state, action) -> (state, Step)"""
    shape: tuple[int, ...]
    """shape of `Observation.view`"""
    actions: Space
    """action space"""
    max_steps: int
    """largest number of steps of an episode"""
    picture: Callable | None = None
    """picture(view) -> RGB image (Y, X, 3), uint8, on the host; None if it cannot be drawn"""


@dataclass(frozen=True)
class Environments:
    """n environments stepped together, with automatic resets.

    `step` returns the observation to act on next beside the Step. After the end of an episode, it
    is the first observation of the next episode.
    """

    n: int
    """number of environments [N]"""
    reset: Callable[[jax.Array], tuple[Any, Observation]]
    """reset(key) -> (state, observation_N)"""
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, Observation, Step]]
    """step(key, state, action_N) -> (state, observation_N, Step_N)"""
    shape: tuple[int, ...]
    """shape of one environment's `Observation.view`"""
    actions: Space
    """action space of one environment"""
    max_steps: int
    """largest number of steps of an episode"""
    on_host: bool = False
    """true if steps leave the compiled program: they run on one device, without vmap over seeds"""
    picture: Callable | None = None
    """as in Environment"""


def without_extra(what: str, error: ImportError) -> UserError:
    """The error for environments whose library is not installed."""
    extra = "pip install 'panorax[rl]', or pip install -e '.[rl]' in a clone"
    return UserError(f"{what} need the extra rl: {extra} ({error})")
