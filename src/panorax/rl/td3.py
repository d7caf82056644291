"""Twin delayed deep deterministic policy gradient, TD3 (Fujimoto et al. 2018, arXiv:1802.09477).

The actor mu is deterministic and explores by Gaussian noise. Each update lowers

    J_Q  = sum_i E[1/2 (Q_i(s, a) - y)^2]
    y    = r + discount * (1 - terminated) * min_i Q'_i(s', a')
    a'   = clip(mu'(s') + clip(e, -c, c), -1, 1),    e ~ N(0, noise^2)    (target smoothing)

and every `delay`-th update also lowers J_mu = -E[Q_1(s, mu(s))] by the actor, after which the
target networks Q'_i and mu' follow by Polyak averaging.
"""

import functools

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, NonNegative, checked
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.rl import actor_critic
from panorax.rl.actor_critic import Networks, OffPolicy, Optimizers
from panorax.rl.environments.environment import Environments
from panorax.rl.evaluation import evaluated_episodes
from panorax.rl.replay.experience import Transition
from panorax.rl.rollout import Act

UNITS = {"return": "sum of rewards", "length": "steps"}
"""units of the metrics, for the axes of curves"""


@checked
class Config(OffPolicy):
    """Symbols of the paper are in brackets."""

    exploration: NonNegative = 0.1
    """standard deviation of the noise on actions in the environment"""
    smoothing: NonNegative = 0.2
    """standard deviation of the noise on target actions"""
    smoothing_clip: NonNegative = 0.5
    """largest noise on target actions [c]"""
    delay: Count = 2
    """updates of the critics per update of the actor and of the targets [d]"""

    def __post_init__(self):
        super().__post_init__()
        if self.updates % self.delay:
            raise ValueError(
                f"{self.updates} updates per training step are no multiple of the delay of "
                f"{self.delay} updates"
            )


def action_of(params, view_B, nets: Networks):
    """mu(s), in (-1, 1)^K."""
    return jnp.tanh(nets.actor(params, view_B))


def critic_loss_fn(params, extra, batch: Transition, key, target, nets: Networks, cfg: Config):
    """J_Q, with the target networks {"critics", "policy"} in `target`."""
    next_view = batch.next_observation.view
    action = action_of(target["policy"], next_view, nets)
    noise = cfg.smoothing * jax.random.normal(key, action.shape)
    noise = jnp.clip(noise, -cfg.smoothing_clip, cfg.smoothing_clip)
    next_action = jnp.clip(action + noise, -1, 1)
    next_value = jnp.min(nets.critics(target["critics"], next_view, next_action), 0)
    q = nets.critics(params, batch.observation.view, batch.action)
    loss, metrics = actor_critic.td_loss(q, batch, next_value, cfg.discount)
    return loss, (extra, metrics)


def loss_fn(params, extra, batch: Transition, key, critics, nets: Networks):
    """J_mu, against the critics."""
    action = action_of(params, batch.observation.view, nets)
    return -jnp.mean(nets.critics(critics, batch.observation.view, action)[0]), (extra, {})


def learn(learner, batches: Transition, key, nets: Networks, txs: Optimizers, cfg: Config):
    """`cfg.delay` updates of the critics, then one of the actor on the last batch, then targets."""
    params, opt, target = learner
    critic_loss = functools.partial(critic_loss_fn, target=target, nets=nets, cfg=cfg)

    def of_critics(carry, inputs):
        critics, opt, _, measured = update(critic_loss, txs["critics"], *carry, (), *inputs)
        return (critics, opt), measured

    keys = jax.random.split(key, cfg.delay)
    before = params["critics"], opt["critics"]
    (critics, opt_critics), measured = jax.lax.scan(of_critics, before, (batches, keys))
    loss = functools.partial(loss_fn, critics=critics, nets=nets)
    before = txs["policy"], params["policy"], opt["policy"]
    last = jax.tree.map(lambda x: x[-1], batches)
    policy, opt_policy, _, measured_policy = update(loss, *before, (), last, key)
    params = {"critics": critics, "policy": policy}
    opt = {"critics": opt_critics, "policy": opt_policy}
    return (params, opt, actor_critic.follow(target, params, cfg.polyak)), measured, measured_policy


def train_step(
    state: State, batch, key, nets: Networks, envs: Environments, txs: Optimizers, cfg: Config
):
    """Steps in the environments by noisy actions of the actor, then `cfg.updates` updates."""

    def choose(view, key):
        action = action_of(state.params["policy"], view, nets)
        return jnp.clip(action + cfg.exploration * jax.random.normal(key, action.shape), -1, 1)

    one_update = functools.partial(learn, nets=nets, txs=txs, cfg=cfg)
    leading = (cfg.updates // cfg.delay, cfg.delay)
    return actor_critic.train(state, key, choose, one_update, envs, cfg, leading)


def best(state: State, nets: Networks) -> Act:
    """The actor without noise."""
    return actor_critic.acting(lambda view, key: action_of(state.params["policy"], view, nets))


def evaluate(state: State, batch, key, nets: Networks, envs: Environments, cfg: Config):
    """Mean return and length of the actor without noise."""
    return evaluated_episodes(best(state, nets), envs, (), key)


def system(cfg: Config, tx: Optimizers | None = None) -> System:
    """TD3 as a System; `tx` replaces the optimisers.

    Raises UserError for an unknown environment, or for actions that are not continuous or bounded.
    """
    shape, K = actor_critic.spaces(cfg)
    nets = actor_critic.networks(cfg, shape, K, K)
    return actor_critic.system_of(
        cfg,
        {"critics": nets.spec["critics"], "policy": nets.spec["actor"]},
        functools.partial(train_step, nets=nets),
        functools.partial(evaluate, nets=nets),
        functools.partial(best, nets=nets),
        lambda params: params,
        tx,
    )
