"""Proximal policy optimisation with generalised advantage estimation.

One training step is algorithm 1 of the paper. The policy acts for T steps in N environments, GAE
estimates the advantages A_t, and the loss

    - E[min(r A, clip(r, 1 - eps, 1 + eps) A)] + c1 E[(V(s) - R)^2] - c2 E[H(pi(s))],
    r = pi(a|s) / pi_old(a|s),    R = A + V_old,

is minimised for K epochs over minibatches of the N T steps. Advantages are standardised within
every minibatch, as in ppo2, the second version of the authors' code, but not in the paper. Arrays
of a rollout are (T, N, ...). Minibatches are (B, T, ...), with sequences as long as the policy's
span, one step without memory. The state holds the environments: training is a pure function.
Source: Schulman et al. 2017, arXiv:1707.06347; Schulman et al. 2016, arXiv:1506.02438.
"""

import functools

import jax
import numpy as np
import optax

from panorax.core import figures
from panorax.core.optim import optimizer
from panorax.core.ranges import checked
from panorax.core.state import Result, State, System
from panorax.rl import on_policy
from panorax.rl.environments.environment import Environments
from panorax.rl.on_policy import (
    Batch,
    Clipped,
    clipped_loss,
    collect,
    evaluate,
    minibatch_updates,
    policy_change,
)
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import sequences
from panorax.rl.seeds import Curves

UNITS = on_policy.UNITS | {"entropy": "nats", "kl": "nats", "approx_kl": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config(Clipped):
    """Options of PPO."""


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """Loss of one minibatch, as in the module's equation."""
    loss, metrics = clipped_loss(
        *on_policy.apply(params, batch, policy), batch, batch.advantage, cfg
    )
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
    """One iteration of algorithm 1: a rollout, its advantages, then K epochs of minibatches."""
    key_rollout, *keys = jax.random.split(key, 3)
    extra, data, metrics = collect(state, key_rollout, policy, envs, cfg)
    examples = sequences(data, policy.span)
    loss = functools.partial(loss_fn, policy=policy, cfg=cfg)
    params, opt, losses = minibatch_updates(
        loss, tx, state.params, state.opt, examples, keys, cfg.epochs, cfg.minibatches
    )
    metrics |= losses | policy_change(state.params, params, examples, policy)
    return State(params, opt, extra, state.step + 1), metrics


def trust_region(curves: Curves, cfg: Config) -> Result:
    """The largest ratio |r| and KL(pi_old | pi) after an update, over all seeds.

    Each value of a curve is the mean over a chunk of training steps; the mean of the ratio is
    geometric. A largest ratio above 1 + eps shows that the clip is no trust region.
    """
    log_ratio, kl = curves.values["largest_log_ratio"], curves.values["kl"]
    metrics = {"largest_ratio": float(np.exp(log_ratio.max())), "largest_kl": float(kl.max())}
    return Result(metrics, {"trust_region.png": draw_trust_region(curves, cfg)})


def draw_trust_region(curves: Curves, cfg: Config):
    """The largest ratio and the KL after every update, a line per seed."""
    figure, (left, right) = figures.panels(2)
    curves.draw(left, np.exp(curves.values["largest_log_ratio"]))
    left.axhline(1 + cfg.clip, color="grey", ls=":", label="1 + clip")
    left.set(ylabel="largest ratio after an update")
    curves.draw(right, curves.values["kl"])
    right.set(ylabel="KL(old | new) after an update (nats)")
    return figures.legends(figure)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PPO as a System; `tx` replaces the optimiser. Raises UserError for an unknown environment."""
    scene = envs, _, policy = on_policy.parts(cfg)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, policy.spec)
    step = functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg)
    measure = functools.partial(trust_region, cfg=cfg)
    return on_policy.system_of(cfg, step, evaluate, tx.init, scene, cfg.length, measure)
