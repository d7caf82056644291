"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347), with generalised advantages (Schulman et al. 2016, arXiv:1506.02438).

One training step is algorithm 1 of the paper: N environments are acted in for T steps, advantages A_t are estimated, then the loss

    - E[ min(r A, clip(r, 1 - eps, 1 + eps) A) ] + c1 E[ (V(s) - R)^2 ] - c2 E[ H(pi(s)) ],    r = pi(a|s) / pi_old(a|s),    R = A + V_old

is minimised for some epochs over minibatches of the N T steps. Advantages are standardised in every minibatch, which the paper does not say
but the second version of its code, ppo2, does. Arrays of a rollout are (T, N, ...); minibatches are (B, T, ...), sequences as long as the policy is trained through time:
one step for a policy without memory. The state holds the environments, so training is a pure function of the key: `vmap` it over seeds.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, Share, Whole, checked
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.ops.permutation import permutations
from panorax.ops.returns import gae
from panorax.rl import moments
from panorax.rl.environments import from_gymnasium, from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.policies import gru, mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Running, Trajectory, first_episodes, rollout, start
from panorax.rl.seeds import learning_curves


@checked
class Config:
    """Symbols of the paper in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | from_gymnasium.Config | probes.Config = (
        from_gymnax.Config()
    )
    policy: mlp.Config | gru.Config = mlp.Config()
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, eps=1e-5, clip=0.5)
    run: Run = Run(steps=400, chunk=10)
    n_envs: Count = 8
    """environments acted in side by side [N]"""
    length: Count = 32
    """steps of a rollout in each [T]"""
    epochs: Count = 20
    """passes over a rollout [K]"""
    minibatches: Count = 1
    """updates in one pass [N T / M]"""
    discount: Share = 0.98
    """[gamma]"""
    lambda_: Share = 0.8
    """0 trusts the value function after one step, 1 nothing but the rewards that came [lambda]"""
    clip: Positive = 0.2
    """the ratio of new to old probability counts between 1 - clip and 1 + clip [eps]"""
    value_weight: NonNegative = 0.5
    """[c1]"""
    value_clip: Positive | None = None
    """the error counts with the new value at most this far from the old one where that is worse; None: off"""
    entropy_weight: NonNegative = 0.0
    """[c2]"""
    reward_scale: Positive = 1.0
    """rewards are multiplied by it before anything is learnt from them"""
    normalize: bool = False
    """observations by their running mean and variance"""
    eval_episodes: Count = 100
    seeds: Whole = 5
    """trained side by side for the report at the end; 0 for no report"""

    def __post_init__(self):
        span = self.policy.span
        if self.length % span or self.length // span * self.n_envs % self.minibatches:
            sequences = f"{self.n_envs} environments x {self.length} steps in sequences of {span}"
            raise ValueError(f"{sequences} do not divide into {self.minibatches} equal minibatches")
        if self.length * self.n_envs == self.minibatches:
            raise ValueError(
                "a minibatch of one step has no advantages to compare; use fewer minibatches"
            )


@struct.dataclass
class Extra:
    """Carried from step to step beside the parameters: the environments, and the moments of all observations so far."""

    running: Running
    seen: moments.Moments


@struct.dataclass
class Batch:
    """What one update learns from; all leaves (B, T, ...). Of `memory` the first step is read: it is where a sequence starts."""

    observation: Observation
    first: jax.Array
    memory: Any
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array


def normalized(tree, seen: moments.Moments, cfg: Config):
    """Every Observation in `tree` as the policy sees it."""
    if not cfg.normalize:
        return tree
    is_observation = lambda x: isinstance(x, Observation)
    standardized = lambda x: (
        x.replace(view=moments.standardize(x.view, seen)) if is_observation(x) else x
    )
    return jax.tree.map(standardized, tree, is_leaf=is_observation)


def actor(choose, params, seen: moments.Moments, policy: Policy, cfg: Config):
    """The policy as a function that acts: `choose(distribution, key)` picks the action."""

    def act(memory_N, observation_N, first_N, key):
        observation_NT = jax.tree.map(lambda x: x[:, None], normalized(observation_N, seen, cfg))
        memory_N, distribution, _ = policy.apply(params, memory_N, observation_NT, first_N[:, None])
        return memory_N, choose(distribution, key)[:, 0]

    return act


def sequences(tree, span: int):
    """Leaves (T, N, ...) cut into sequences of `span` steps: (T / span * N, span, ...)."""

    def cut(x):
        T, N, *rest = x.shape
        return x.reshape(T // span, span, N, *rest).swapaxes(1, 2).reshape(-1, span, *rest)

    return jax.tree.map(cut, tree)


def to_batch(params, taken: Trajectory, policy: Policy, cfg: Config) -> Batch:
    """A rollout with what it teaches, (T, N, ...): log pi_old(a|s), V_old(s) and A of every step, each from the memory the policy had there.

    V(s') is that of what the action led to, also at a time limit and at the rollout's end.
    """
    before = jax.tree.map(lambda x: split_batch(x.reshape(-1, 1, *x.shape[2:])), taken)
    memory, next_memory = jax.tree.map(lambda x: x[:, 0], (before.memory, before.next_memory))
    _, pi, value = policy.apply(params, memory, before.observation, before.first)
    _, _, next_value = policy.apply(
        params, next_memory, before.next_observation, jnp.zeros_like(before.first)
    )
    log_prob, value, next_value = (
        x.reshape(taken.first.shape) for x in (pi.log_prob(before.action), value, next_value)
    )
    reward = cfg.reward_scale * taken.reward
    advantage = gae(
        reward, value, next_value, taken.terminated, taken.truncated, cfg.discount, cfg.lambda_
    )
    return Batch(
        taken.observation, taken.first, taken.memory, taken.action, log_prob, value, advantage
    )


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """The loss at the top of this file, for one minibatch."""
    memory = jax.tree.map(lambda x: x[:, 0], batch.memory)
    _, pi, value = policy.apply(params, memory, batch.observation, batch.first)
    log_ratio = pi.log_prob(batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    A = (batch.advantage - jnp.mean(batch.advantage)) / (jnp.std(batch.advantage) + 1e-8)
    policy_loss = -jnp.mean(jnp.minimum(ratio * A, jnp.clip(ratio, 1 - cfg.clip, 1 + cfg.clip) * A))

    target = batch.value + batch.advantage
    error = jnp.square(value - target)
    if cfg.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -cfg.value_clip, cfg.value_clip)
        error = jnp.maximum(error, jnp.square(near - target))
    value_loss, entropy = jnp.mean(error), jnp.mean(pi.entropy())

    loss = policy_loss + cfg.value_weight * value_loss - cfg.entropy_weight * entropy
    metrics = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": jnp.mean(ratio - 1 - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > cfg.clip),
    }
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
    """One iteration of algorithm 1: a rollout, its advantages, then epochs over its minibatches."""
    key_rollout, key_order, key_updates = jax.random.split(key, 3)
    extra: Extra = state.extra
    act = actor(lambda pi, key: pi.sample(key), state.params, extra.seen, policy, cfg)
    running, taken = rollout(act, envs, extra.running, key_rollout, cfg.length)

    data = to_batch(state.params, normalized(taken, extra.seen, cfg), policy, cfg)
    examples = sequences(data, policy.span)
    rows = permutations(key_order, cfg.epochs, len(examples.first)).reshape(
        cfg.epochs * cfg.minibatches, -1
    )
    loss = functools.partial(loss_fn, policy=policy, cfg=cfg)

    def minibatch(carry, inputs):
        rows, key = inputs
        batch = jax.tree.map(lambda x: split_batch(x[rows]), examples)
        params, opt, _, metrics = update(loss, tx, *carry, (), batch, key)
        return (params, opt), metrics

    keys = jax.random.split(key_updates, len(rows))
    (params, opt), metrics = jax.lax.scan(minibatch, (state.params, state.opt), (rows, keys))
    metrics = jax.tree.map(jnp.mean, metrics) | episode_metrics(running.episodes)
    metrics["explained_variance"] = 1 - jnp.var(data.advantage) / jnp.maximum(
        jnp.var(data.value + data.advantage), 1e-8
    )
    extra = Extra(running, moments.merge(extra.seen, taken.observation.view))
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Config):
    """Return and length of `envs.n` episodes of the most probable (or mean) action, with the final normalisation."""
    act = actor(lambda pi, key: pi.mode(), state.params, state.extra.seen, policy, cfg)
    returns, lengths = first_episodes(act, envs, policy.empty_memory(envs.n), key)
    return {"eval_return": (jnp.sum(returns), envs.n), "eval_length": (jnp.sum(lengths), envs.n)}


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PPO in `n_envs` environments of the config, evaluated in `eval_episodes` others; `tx` replaces its optimiser."""
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    policy = module_of(cfg.policy).policy(cfg.policy, envs.shape, envs.actions)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, policy.spec)

    def init_state(key):
        key_params, key_envs = jax.random.split(key)
        running = start(envs, policy.empty_memory(envs.n), key_envs)
        return first_state(
            core_spec.init(policy.spec, key_params), tx, Extra(running, moments.initial(envs.shape))
        )

    ppo = System(
        spec=policy.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, policy=policy, envs=held_out, cfg=cfg),
        extra_axes=Extra(running=("batch",), seen=None),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
    )
    if cfg.seeds == 0:
        return ppo
    return dataclasses.replace(
        ppo, report=lambda state, key: learning_curves(ppo, cfg.run, cfg.seeds, held_out, key)
    )
