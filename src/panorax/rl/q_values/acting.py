"""Acting by action values: greedily, epsilon-greedily, and in evaluated episodes."""

import jax
import jax.numpy as jnp

from panorax.ops.distributions import masked
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.evaluation import evaluated_episodes, evaluated_values
from panorax.rl.play import player
from panorax.rl.q_values.networks import QNetwork
from panorax.rl.rollout import Act


def of_legal(q: jax.Array, legal: jax.Array | None) -> jax.Array:
    """`q` (*batch, A) with -1e9 at illegal actions; legal: mask, None if all are legal."""
    return q if legal is None else masked(q, legal)


def epsilon_greedy(q: jax.Array, legal: jax.Array | None, epsilon, key: jax.Array) -> jax.Array:
    """The best legal action, or with probability `epsilon` a uniformly random legal action."""
    key_explore, key_action = jax.random.split(key)
    explores = jax.random.bernoulli(key_explore, epsilon, q.shape[:-1])
    preference = jnp.where(explores[..., None], jax.random.uniform(key_action, q.shape), q)
    return jnp.argmax(of_legal(preference, legal), -1)


def decayed(start: float, end: float, steps: float, step: jax.Array) -> jax.Array:
    """Linear decay from `start` to `end` over `steps` steps, then constant."""
    return start + (end - start) * jnp.minimum(step / max(steps, 1), 1.0)


def action_values(params, observation: Observation, network: QNetwork) -> jax.Array:
    """Q-values (*batch, A), those of illegal actions -1e9."""
    return of_legal(network.values(network.apply(params, observation.view)), observation.legal)


def actor(params, network: QNetwork, epsilon) -> Act:
    """The epsilon-greedy policy."""

    def act(memory, observation, first, key):
        q = action_values(params, observation, network)
        return memory, epsilon_greedy(q, observation.legal, epsilon, key)

    return act


def evaluated_greedily(
    params, network: QNetwork, envs: Environments, key: jax.Array, discount: float
):
    """Return and length of greedy episodes, max_a Q at their starts, and its overestimation."""
    key_episodes, key_values = jax.random.split(key)
    act = actor(params, network, 0.0)
    value = lambda observation: jnp.max(action_values(params, observation, network), -1)
    return evaluated_episodes(act, envs, (), key_episodes) | evaluated_values(
        act, value, envs, (), key_values, discount
    )


def greedy_player(network: QNetwork, envs: Environments):
    """System.play of the greedy policy; the State's parameters are those of the network."""
    return player(lambda state: actor(state.params, network, 0.0), envs)
