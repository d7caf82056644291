"""Advantage actor critic: the synchronous form of A3C, with n-step returns.

One training step is one update. The policy acts for T steps in N environments, and the loss

    - E[log pi(a|s) A] + c1 E[(V(s) - R)^2] - c2 E[H(pi(s))],    R = A + V,

is minimised by one gradient step over the N T steps. With lambda = 1, R_t is the discounted sum of
the rewards up to the end of the rollout, plus the discounted value of its last state: the n-step
return of the paper. A lambda below 1 gives generalised advantage estimates instead. A3C's workers
send their gradients asynchronously; here all environments take part in one mean.
Source: Mnih et al. 2016, arXiv:1602.01783, algorithm S3.
"""

import functools

import jax
import jax.numpy as jnp
import optax

from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Share, checked
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.rl import on_policy
from panorax.rl.environments.environment import Environments
from panorax.rl.on_policy import Batch, Rollouts, collect, evaluate
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import sequences

UNITS = on_policy.UNITS | {"entropy": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config(Rollouts):
    """Symbols of the paper are in brackets."""

    optim: Optimizer = AdamW(peak_lr=3e-3, schedule="linear", b2=0.99, eps=1e-5, clip=0.5)
    """optimiser of all parameters"""
    length: Count = 5
    """steps of a rollout in each environment [t_max]"""
    gae_lambda: Share = 1.0
    """GAE lambda: 1 is the n-step return of the paper, 0 one-step TD"""
    value_weight: NonNegative = 0.5
    """weight of the value loss [c1]"""
    entropy_weight: NonNegative = 0.0
    """weight of the entropy bonus [beta]"""


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """Loss of one rollout, as in the module's equation."""
    pi, value = on_policy.apply(params, batch, policy)
    policy_loss = -jnp.mean(pi.log_prob(batch.action) * batch.advantage)
    value_loss = jnp.mean(jnp.square(value - batch.value - batch.advantage))
    entropy = jnp.mean(pi.entropy())
    loss = policy_loss + cfg.value_weight * value_loss - cfg.entropy_weight * entropy
    metrics = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
    return loss, (extra, metrics)


def train_step(
    state: State,
    batch,
    key,
    policy: Policy,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """A rollout of T steps, then one update on it."""
    key_rollout, key_update = jax.random.split(key)
    extra, data, metrics = collect(state, key_rollout, policy, envs, cfg)
    examples = jax.tree.map(split_batch, sequences(data, policy.span))
    loss = functools.partial(loss_fn, policy=policy, cfg=cfg)
    params, opt, _, losses = update(loss, tx, state.params, state.opt, (), examples, key_update)
    return State(params, opt, extra, state.step + 1), metrics | losses


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """A2C as a System; `tx` replaces the optimiser. Raises UserError for an unknown environment."""
    scene = envs, _, policy = on_policy.parts(cfg)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, policy.spec)
    step = functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg)
    return on_policy.system_of(cfg, step, evaluate, tx.init, scene, cfg.length)
