"""Evaluation of a policy, and its episodes as a Trajectory."""

import jax
import jax.numpy as jnp

from panorax.rl.environments.environment import Environments
from panorax.rl.rollout import Act, Trajectory, first_episodes, rollout, start


def evaluated_episodes(act: Act, envs: Environments, memory, key: jax.Array):
    """Totals and weights of the undiscounted return and length of one episode per environment."""
    returns, lengths = first_episodes(act, envs, memory, key)
    return {"eval_return": (jnp.sum(returns), envs.n), "eval_length": (jnp.sum(lengths), envs.n)}


def shown_episodes(act: Act, envs: Environments, memory, key: jax.Array) -> Trajectory:
    """`envs.max_steps` steps in every environment: at least one whole episode of each."""
    key_reset, key_steps = jax.random.split(key)
    return rollout(act, envs, start(envs, memory, key_reset), key_steps, envs.max_steps)[1]
