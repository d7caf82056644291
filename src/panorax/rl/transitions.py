"""Transitions: the rows of a replay, from which values are learned off-policy."""

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.rl.environments.environment import Observation
from panorax.rl.rollout import Trajectory


@struct.dataclass
class Transition:
    """Steps (s, a, r, s') of environments; all leaves have the same leading axes."""

    observation: Observation
    """observation before the action [s]"""
    action: jax.Array
    """action taken [a]"""
    reward: jax.Array
    """reward of the action [r]"""
    terminated: jax.Array
    """true if s' is terminal"""
    truncated: jax.Array
    """true if a time limit ended the episode at s'"""
    next_observation: Observation
    """observation after the action; at the end of an episode, its final observation [s']"""


def transitions(trajectory: Trajectory) -> Transition:
    """The transitions of a rollout, leaves (T, N, ...)."""
    return Transition(
        observation=trajectory.observation,
        action=trajectory.action,
        reward=trajectory.reward,
        terminated=trajectory.terminated,
        truncated=trajectory.truncated,
        next_observation=trajectory.next_observation,
    )


def row(observation: Observation, as_bytes: bool = False) -> Transition:
    """A row of zeros of N environments that start with `observation`, with discrete actions.

    as_bytes: whether a replay stores views as uint8, a quarter of the memory; their values must
    be whole numbers up to 255, such as those of MinAtar.
    """
    if as_bytes:
        observation = observation.replace(view=observation.view.astype(jnp.uint8))
    n = observation.view.shape[0]
    none = jnp.zeros(n, bool)
    return Transition(observation, jnp.zeros(n, jnp.int32), jnp.zeros(n), none, none, observation)
