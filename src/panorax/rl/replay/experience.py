"""Experience of off-policy methods: transitions, and steps in environments that enter a replay."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.environments.wrappers import no_action
from panorax.rl.rollout import Act, Running, Trajectory, rollout, start


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


def row(envs: Environments, observation: Observation, as_bytes: bool = False) -> Transition:
    """A row of zeros of environments that start with `observation`, for the shapes of a replay.

    as_bytes: whether a replay stores views as uint8, a quarter of the memory; their values must
    be whole numbers up to 255, such as those of MinAtar.
    """
    if as_bytes:
        observation = observation.replace(view=observation.view.astype(jnp.uint8))
    none = jnp.zeros(envs.n, bool)
    action = jnp.broadcast_to(no_action(envs.actions), (envs.n, *no_action(envs.actions).shape))
    return Transition(observation, action, jnp.zeros(envs.n), none, none, observation)


def collect(
    act: Act,
    envs: Environments,
    running: Running,
    memory: Any,
    add: Callable,
    key: jax.Array,
    length: int,
) -> tuple[Running, Any]:
    """`length` steps in every environment, which add(memory, rollout) puts into the replay."""
    running, trajectory = rollout(act, envs, running, key, length)
    return running, add(memory, transitions(trajectory))


def first_experience(
    act: Act,
    envs: Environments,
    empty: Callable,
    add: Callable,
    key: jax.Array,
    rollouts: int,
    length: int,
) -> tuple[Running, Any]:
    """Environments and replay after `rollouts` rollouts of `length` steps.

    empty: empty(observation) -> the replay of environments that start with this observation.
    """
    key_start, key_steps = jax.random.split(key)
    running = start(envs, (), key_start)
    body = lambda carry, key: (collect(act, envs, *carry, add, key, length), None)
    keys = jax.random.split(key_steps, rollouts)
    return jax.lax.scan(body, (running, empty(running.observation)), keys)[0]
