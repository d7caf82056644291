"""Acting in environments: a policy and n environments scanned over time."""

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
    """Where everything stands between two steps: environments, what to act on, whether that begins an episode, the policy's memory."""

    envs: Any
    observation: Observation
    first: jax.Array
    memory: Any
    episodes: episodes.Episodes


@struct.dataclass
class Trajectory:
    """A rollout, every leaf (T, N, ...). `memory` is the policy's before the step and `next_memory` after it; `first` says to forget it.

    `next_observation` is what the action led to, also where an episode ended there.
    """

    observation: Observation
    first: jax.Array
    memory: Any
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_observation: Observation
    next_memory: Any


def start(envs: Environments, memory, key: jax.Array) -> Running:
    """All environments at the start of an episode; `memory` is the policy's memory there."""
    state, observation = envs.reset(key)
    return Running(state, observation, jnp.ones(envs.n, bool), memory, episodes.initial(envs.n))


def rollout(
    act: Act, envs: Environments, running: Running, key: jax.Array, length: int
) -> tuple[Running, Trajectory]:
    """`length` steps in every environment."""

    def step(running, key):
        key_act, key_env = jax.random.split(key)
        running = jax.tree.map(split_batch, running)  # every device steps its own environments
        memory, action = act(running.memory, running.observation, running.first, key_act)
        state, observation, after = envs.step(key_env, running.envs, action)
        ended = after.terminated | after.truncated
        taken = Trajectory(
            running.observation, running.first, running.memory, action,
            after.reward, after.terminated, after.truncated, after.observation, memory,
        )  # fmt: skip
        running = Running(
            state,
            observation,
            ended,
            memory,
            episodes.record(running.episodes, after.reward, ended),
        )
        return running, jax.tree.map(split_batch, taken)

    return jax.lax.scan(step, running, jax.random.split(key, length))


def first_episodes(
    act: Act, envs: Environments, memory, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Undiscounted return and length, each (N,), of one episode in every environment."""
    key_reset, key_steps = jax.random.split(key)
    _, taken = rollout(act, envs, start(envs, memory, key_reset), key_steps, envs.max_steps)
    ended_TN = taken.terminated | taken.truncated
    under_way_TN = jnp.cumsum(ended_TN, 0) - ended_TN == 0
    return jnp.sum(jnp.where(under_way_TN, taken.reward, 0), 0), jnp.sum(under_way_TN, 0)
