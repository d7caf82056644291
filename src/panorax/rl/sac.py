"""Soft actor-critic with automatic temperature (Haarnoja et al. 2018, arXiv:1812.05905).

The policy pi maximises the return plus its entropy, weighted by the temperature alpha. A training
step acts in N environments, then updates on batches of the replay. Each update lowers

    J_Q     = sum_i E[1/2 (Q_i(s, a) - y)^2]
    y       = r + discount * (1 - terminated) * (min_i Q'_i(s', a') - alpha log pi(a'|s'))
    J_pi    = E[alpha log pi(a|s) - min_i Q_i(s, a)],    a ~ pi(.|s), reparameterised
    J_alpha = E[-alpha (log pi(a|s) + H)]

first by the critics Q_i, then by the actor and log alpha. The target critics Q'_i follow by Polyak
averaging. J_alpha raises alpha if the entropy is below its target H, in the paper -K for K action
dimensions. The policy is a Gaussian squashed by tanh, with exact log-probabilities.
"""

import functools

import jax
import jax.numpy as jnp

from panorax.core.ranges import NonNegative, checked
from panorax.core.spec import P
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.ops.distributions import TanhGaussian
from panorax.rl import actor_critic
from panorax.rl.actor_critic import Networks, OffPolicy, Optimizers
from panorax.rl.environments.environment import Environments
from panorax.rl.evaluation import evaluated_episodes
from panorax.rl.replay import uniform
from panorax.rl.replay.experience import Transition
from panorax.rl.rollout import Act

UNITS = {"return": "sum of rewards", "length": "steps", "entropy": "nats"}
"""units of the metrics, for the axes of curves"""
LOG_STD = (-20.0, 2.0)  # bounds of the log standard deviation in the authors' code
ENTROPY_VIEWS = 1024  # views of the replay at which an evaluation measures the entropy


@checked
class Config(OffPolicy):
    """Symbols of the paper are in brackets."""

    entropy_per_action: NonNegative = 1.0
    """negative target entropy per action dimension, in nats; the target is minus K times it [H]"""


def policy_of(params, view_B, nets: Networks) -> TanhGaussian:
    """pi(.|s)."""
    mean, log_std = jnp.split(nets.actor(params, view_B), 2, -1)
    return TanhGaussian(mean, jnp.clip(log_std, *LOG_STD))


def critic_loss_fn(params, extra, batch: Transition, key, target, policy, nets, cfg: Config):
    """J_Q, with the target critics in `target` and the actor and log alpha in `policy`."""
    next_view = batch.next_observation.view
    pi = policy_of(policy["actor"], next_view, nets)
    next_action, log_prob = pi.sample_and_log_prob(key)
    next_q = jnp.min(nets.critics(target, next_view, next_action), 0)
    next_value = next_q - jnp.exp(policy["log_temperature"]) * log_prob
    q = nets.critics(params, batch.observation.view, batch.action)
    loss, metrics = actor_critic.td_loss(q, batch, next_value, cfg.discount)
    return loss, (extra, metrics)


def loss_fn(params, extra, batch: Transition, key, critics, nets: Networks, target_entropy: float):
    """J_pi + J_alpha, each with the gradient of its own parameters, against the critics."""
    view = batch.observation.view
    action, log_prob = policy_of(params["actor"], view, nets).sample_and_log_prob(key)
    temperature = jnp.exp(params["log_temperature"])
    q = jnp.min(nets.critics(critics, view, action), 0)
    fixed = jax.lax.stop_gradient
    actor_loss = jnp.mean(fixed(temperature) * log_prob - q)
    temperature_loss = -temperature * jnp.mean(fixed(log_prob) + target_entropy)
    metrics = {"entropy": -jnp.mean(log_prob), "temperature": temperature}
    return actor_loss + temperature_loss, (extra, metrics)


def learn(learner, batch: Transition, key, nets: Networks, txs, target_entropy: float, cfg: Config):
    """One update of the critics, then of the policy and the temperature, then of the targets."""
    params, opt, target = learner
    key_critics, key_policy = jax.random.split(key)
    loss = functools.partial(
        critic_loss_fn, target=target, policy=params["policy"], nets=nets, cfg=cfg
    )
    before = txs["critics"], params["critics"], opt["critics"]
    critics, opt_critics, _, measured = update(loss, *before, (), batch, key_critics)
    loss = functools.partial(loss_fn, critics=critics, nets=nets, target_entropy=target_entropy)
    before = txs["policy"], params["policy"], opt["policy"]
    policy, opt_policy, _, measured_policy = update(loss, *before, (), batch, key_policy)
    params = {"critics": critics, "policy": policy}
    opt = {"critics": opt_critics, "policy": opt_policy}
    target = actor_critic.follow(target, critics, cfg.polyak)
    return (params, opt, target), measured, measured_policy


def train_step(
    state: State,
    batch,
    key,
    nets: Networks,
    envs: Environments,
    txs: Optimizers,
    target_entropy: float,
    cfg: Config,
):
    """Steps in the environments by samples of the policy, then `cfg.updates` updates."""
    actor = state.params["policy"]["actor"]
    choose = lambda view, key: policy_of(actor, view, nets).sample(key)
    one_update = functools.partial(
        learn, nets=nets, txs=txs, target_entropy=target_entropy, cfg=cfg
    )
    return actor_critic.train(state, key, choose, one_update, envs, cfg, (cfg.updates,))


def best(state: State, nets: Networks) -> Act:
    """The mode of the policy."""
    actor = state.params["policy"]["actor"]
    return actor_critic.acting(lambda view, key: policy_of(actor, view, nets).mode())


def evaluate(state: State, batch, key, nets: Networks, envs: Environments, cfg: Config):
    """Mean return and length under the mode of the policy, and its entropy on the replay."""
    key_draw, key_sample, key_episodes = jax.random.split(key, 3)
    actor = state.params["policy"]["actor"]
    view = uniform.draw(state.extra.replay, key_draw, ENTROPY_VIEWS).observation.view[:, 0]
    _, log_prob = policy_of(actor, view, nets).sample_and_log_prob(key_sample)
    return evaluated_episodes(best(state, nets), envs, (), key_episodes) | {
        "eval_entropy": (-jnp.sum(log_prob), ENTROPY_VIEWS)
    }


def system(cfg: Config, tx: Optimizers | None = None) -> System:
    """SAC as a System; `tx` replaces the optimisers.

    Raises UserError for an unknown environment, or for actions that are not continuous or bounded.
    """
    shape, K = actor_critic.spaces(cfg)
    nets = actor_critic.networks(cfg, shape, K, 2 * K)
    temperature = P((), (), jax.nn.initializers.zeros)
    spec = {
        "critics": nets.spec["critics"],
        "policy": {"actor": nets.spec["actor"], "log_temperature": temperature},
    }
    entropy = -K * cfg.entropy_per_action
    return actor_critic.system_of(
        cfg,
        spec,
        functools.partial(train_step, nets=nets, target_entropy=entropy),
        functools.partial(evaluate, nets=nets),
        functools.partial(best, nets=nets),
        lambda params: params["critics"],
        tx,
    )
