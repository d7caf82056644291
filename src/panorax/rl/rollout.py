"""Rollouts: a policy acts in n environments, scanned over time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.core.layout import split_batch
from panorax.rl import episodes
from panorax.rl.environments.environment import Environments, Observation

Act = Callable  # (memory_N, observation_N, first_N, key) -> (memory_N, action_N)


@struct.dataclass
class Running:
    """State of n environments and of the policy between two steps."""

    envs: Any
    """state of the environments"""
    observation: Observation
    """observation to act on next"""
    first: jax.Array
    """true if `observation` starts an episode, bool (N,)"""
    memory: Any
    """memory of the policy"""
    episodes: episodes.Episodes
    """returns and lengths of episodes"""


@struct.dataclass
class Trajectory:
    """A rollout; all leaves are (T, N, ...)."""

    observation: Observation
    """observation before the action"""
    first: jax.Array
    """true at the first steps of episodes, at which the policy resets its memory"""
    memory: Any
    """memory of the policy before the step"""
    action: jax.Array
    """action taken"""
    reward: jax.Array
    """reward of the action"""
    terminated: jax.Array
    """true if the action led to a terminal state"""
    truncated: jax.Array
    """true if a time limit ended the episode"""
    next_observation: Observation
    """observation after the action; at the end of an episode, its final observation"""
    next_memory: Any
    """memory of the policy after the step"""
    earned: jax.Array | None = None
    """reward before its normalisation, which reported returns sum up"""


def start(envs: Environments, memory, key: jax.Array) -> Running:
    """All environments at the start of an episode, with the policy's initial `memory`."""
    state, observation = envs.reset(key)
    return Running(state, observation, jnp.ones(envs.n, bool), memory, episodes.initial(envs.n))


def rollout(
    act: Act, envs: Environments, running: Running, key: jax.Array, length: int
) -> tuple[Running, Trajectory]:
    """`length` steps in every environment, from `running`."""

    def step(running, key):
        key_act, key_env = jax.random.split(key)
        running = jax.tree.map(split_batch, running)  # every device steps its own environments
        memory, action = act(running.memory, running.observation, running.first, key_act)
        state, observation, after = envs.step(key_env, running.envs, action)
        ended = after.terminated | after.truncated
        trajectory = Trajectory(
            observation=running.observation,
            first=running.first,
            memory=running.memory,
            action=action,
            reward=after.reward,
            terminated=after.terminated,
            truncated=after.truncated,
            next_observation=after.observation,
            next_memory=memory,
            earned=after.earned,
        )
        recorded = episodes.record(running.episodes, after.earned, ended)
        running = Running(state, observation, ended, memory, recorded)
        return running, jax.tree.map(split_batch, trajectory)

    return jax.lax.scan(step, running, jax.random.split(key, length))


def sequences(tree, span: int):
    """Splits leaves (T, N, ...) into sequences of `span` steps, (T / span * N, span, ...)."""

    def cut(x):
        T, N, *rest = x.shape
        return x.reshape(T // span, span, N, *rest).swapaxes(1, 2).reshape(-1, span, *rest)

    return jax.tree.map(cut, tree)


def first_episode(trajectory: Trajectory) -> jax.Array:
    """True at the steps up to the end of the first episode, bool (T, N)."""
    ended_TN = trajectory.terminated | trajectory.truncated
    return jnp.cumsum(ended_TN, 0) - ended_TN == 0


def first_episodes(
    act: Act, envs: Environments, memory, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Undiscounted return (N,) and length (N,) of one episode in every environment."""
    key_reset, key_steps = jax.random.split(key)
    running = start(envs, memory, key_reset)
    _, trajectory = rollout(act, envs, running, key_steps, envs.max_steps)
    running_TN = first_episode(trajectory)
    return jnp.sum(jnp.where(running_TN, trajectory.earned, 0), 0), jnp.sum(running_TN, 0)
