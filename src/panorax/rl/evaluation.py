"""Evaluation of a policy, and its episodes as a Trajectory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from panorax.rl.environments.environment import Environments
from panorax.rl.rollout import Act, Trajectory, first_episodes, rollout, start


def evaluated_episodes(act: Act, envs: Environments, memory, key: jax.Array):
    """Totals and weights of the undiscounted return and length of one episode per environment."""
    returns, lengths = first_episodes(act, envs, memory, key)
    return {"eval_return": (jnp.sum(returns), envs.n), "eval_length": (jnp.sum(lengths), envs.n)}


def evaluated_values(
    act: Act, value: Callable, envs: Environments, memory, key: jax.Array, discount: float
):
    """Totals and weights of the estimated value of the first observation of an episode.

    value: value(observation_N) estimates the discounted return from an observation.
    The metrics are the mean of the estimates at the start of one episode per environment, and
    their overestimation: the estimate minus the discounted return of the episode.
    """
    key_reset, key_steps = jax.random.split(key)
    running = start(envs, memory, key_reset)
    _, trajectory = rollout(act, envs, running, key_steps, envs.max_steps)
    is_first_TN = jnp.cumsum(trajectory.first, 0) == 1
    weight_T = discount ** jnp.arange(envs.max_steps)
    return_N = jnp.sum(weight_T[:, None] * trajectory.reward * is_first_TN, 0)
    estimate_N = value(running.observation)
    return {
        "eval_value": (jnp.sum(estimate_N), envs.n),
        "eval_overestimation": (jnp.sum(estimate_N - return_N), envs.n),
    }


def shown_episodes(act: Act, envs: Environments, memory, key: jax.Array) -> Trajectory:
    """`envs.max_steps` steps in every environment: at least one whole episode of each."""
    key_reset, key_steps = jax.random.split(key)
    return rollout(act, envs, start(envs, memory, key_reset), key_steps, envs.max_steps)[1]
