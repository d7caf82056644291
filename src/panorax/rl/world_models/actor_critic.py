"""Actor and critic of DreamerV3 on the states of a world model, and their losses.

    R_k     = r_k + gamma c_k ((1 - lambda) v_{k+1} + lambda R_{k+1}),    R_H = v_H
    actor   = -E w_k [log pi(a_k | s_k) sg(R_k - v_k) / max(1, S) + eta H(pi(s_k))]
    critic  = -E w_k [log p(sg R_k | s_k) + log p(v_slow(s_k) | s_k)]

c is the predicted continuation, w_k the product of gamma c before step k, p the distribution of the
critic over the bins, and S a running mean of the range of R between its 5th and 95th percentile:
one weight eta of the entropy serves all scales of reward.
Source: Hafner et al. 2023, arXiv:2301.04104, equations 6 to 8.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.nets.recurrent import rssm
from panorax.nets.recurrent.rssm import Latent
from panorax.ops.distributions import Categorical, masked
from panorax.ops.returns import lambda_returns
from panorax.ops.two_hot import expectation
from panorax.rl.policies import actions
from panorax.rl.rollout import Act
from panorax.rl.world_models.imagination import Imagined
from panorax.rl.world_models.world import (
    World,
    action_vector,
    action_width,
    bins,
    chosen,
    two_hot_loss,
)


class Memory(NamedTuple):
    """What the agent remembers between two observations."""

    latent: Latent
    """state before the last action"""
    action: jax.Array
    """vector of the last action, (N, A)"""


@struct.dataclass
class Returns:
    """Running statistics of imagined returns, and the critic that regularises the critic."""

    slow: Any
    """parameters of the slow critic, a running mean of the critic"""
    low: jax.Array
    """running 5th percentile of returns"""
    high: jax.Array
    """running 95th percentile of returns"""


class Agent(NamedTuple):
    """A world model with the heads of an actor and a critic."""

    world: World
    uniform: float
    """share of the uniform distribution in a policy over discrete actions"""

    @property
    def spec(self):
        """Parameters, a tree of P."""
        torso = self.world.heads()
        head = actions.head_spec(self.world.space, torso.width)
        return {
            "world": self.world.spec,
            "actor": {"torso": torso.spec, "head": head},
            "critic": self.world.head_spec(self.world.bins, 0.0),
        }

    def policy(self, params, features, legal=None):
        """Distribution over actions for features (*batch, F) and masks of legal actions."""
        x = self.world.heads().apply(params["actor"]["torso"], features)
        pi = actions.head(params["actor"]["head"], x, None, self.world.space)
        if not isinstance(pi, Categorical):
            return pi
        A = pi.logits.shape[-1]
        p = (1 - self.uniform) * jax.nn.softmax(pi.logits) + self.uniform / A
        return Categorical(jnp.log(p) if legal is None else masked(jnp.log(p), legal))

    def empty_memory(self, n: int) -> Memory:
        """The memory of `n` environments before their first observation."""
        width = action_width(self.world.space)
        return Memory(rssm.empty(self.world.cfg, (n,)), jnp.zeros((n, width)))

    def act(self, choose, params) -> Act:
        """The agent as an `Act`; choose(distribution, key) returns the action."""
        world = self.world

        def act(memory: Memory, observation, first, key):
            key_noise, key_act = jax.random.split(key)
            u = rssm.noise(key_noise, first.shape, world.cfg)
            embedding = world.encode(params["world"], observation.view)
            opening, _ = world.opening(params["world"], embedding, u)
            arrival, _ = world.arrival(params["world"], *memory, embedding, u)
            latent = chosen(first, opening, arrival)
            action = choose(self.policy(params, latent.features, observation.legal), key_act)
            return Memory(latent, action_vector(world.space, action)), action

        return act


def imagined_returns(dream: Imagined, value: jax.Array, discount: float, lambda_: float):
    """(R, w): lambda-returns and weights of the H imagined steps, (H, B); value: (H + 1, B)."""
    never = jnp.zeros(dream.reward.shape, bool)
    discount_HB = discount * dream.continuation
    returns = lambda_returns(dream.reward, value[1:], never, never, discount_HB, lambda_)
    weight = jnp.cumprod(jnp.concatenate([jnp.ones_like(discount_HB[:1]), discount_HB[:-1]]), 0)
    return returns, weight


def ranged(statistics: Returns, returns: jax.Array, rate: float) -> Returns:
    """`statistics` moved by `rate` towards the percentiles of these returns."""
    low, high = jnp.percentile(returns, 5), jnp.percentile(returns, 95)
    towards = lambda old, new: (1 - rate) * old + rate * new
    return statistics.replace(low=towards(statistics.low, low), high=towards(statistics.high, high))


def behaviour_losses(agent: Agent, params, dream: Imagined, statistics: Returns, cfg):
    """(losses, statistics, metrics): losses of the actor and the critic on imagined steps.

    cfg: discount, lambda_, entropy_weight and range_rate.
    """
    logits = agent.world.head(params["critic"], dream.features)
    value = jax.lax.stop_gradient(expectation(logits, bins(agent.world.bins)))
    returns, weight = imagined_returns(dream, value, cfg.discount, cfg.lambda_)
    statistics = ranged(statistics, returns, cfg.range_rate)
    scale = jnp.maximum(1.0, statistics.high - statistics.low)
    pi = agent.policy(params, dream.features[:-1])
    gain = pi.log_prob(dream.action) * (returns - value[:-1]) / scale
    entropy = pi.entropy()
    slow = agent.world.mean(statistics.slow, dream.features[:-1])
    errors = two_hot_loss(logits[:-1], returns) + two_hot_loss(logits[:-1], slow)
    losses = {
        "actor_loss": -jnp.mean(weight * (gain + cfg.entropy_weight * entropy)),
        "critic_loss": jnp.mean(weight * errors),
    }
    metrics = {"entropy": jnp.mean(entropy), "imagined_return": jnp.mean(returns)}
    return losses, statistics, metrics
