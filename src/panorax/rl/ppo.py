"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347), with generalised advantages (Schulman et al. 2016, arXiv:1506.02438).

One training step is algorithm 1 of the paper: N environments are acted in for T steps, advantages A_t are estimated, then the loss

    - E[ min(r A, clip(r, 1 - eps, 1 + eps) A) ] + c1 E[ (V(s) - R)^2 ] - c2 E[ H(pi(s)) ],    r = pi(a|s) / pi_old(a|s),    R = A + V_old

is minimised for some epochs over minibatches of the N T steps. Advantages are standardised in every minibatch, which the paper does not say
but the second version of its code, ppo2, does. Arrays of a rollout are (T, N, ...); minibatches are (B, T, ...), sequences as long as the policy is trained through time:
one step for a policy without memory. The state holds the environments, so training is a pure function of the key: `vmap` it over seeds.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, Share, Whole, check
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.interop import gymnasium
from panorax.ops.permutation import permutations
from panorax.ops.returns import gae
from panorax.rl import from_gymnax, from_pgx, gru_policy, mlp_policy, moments, probes
from panorax.rl.environment import Environments, Observation
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.rollout import Running, Trajectory, first_episodes, rollout, start
from panorax.rl.seeds import learning_curves


@dataclass(frozen=True)
class Config:
    """Symbols of the paper in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | gymnasium.Config | probes.Config = from_gymnax.Config()
    policy: mlp_policy.Config | gru_policy.Config = mlp_policy.Config()
    optim: AdamW = AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, eps=1e-5, clip=0.5)
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
        check(self)
        span = module_of(self.policy).span(self.policy)
        if self.length % span or self.length // span * self.n_envs % self.minibatches:
            sequences = f"{self.n_envs} environments x {self.length} steps in sequences of {span}"
            raise ValueError(f"{sequences} do not divide into {self.minibatches} equal minibatches")
        if self.length * self.n_envs == self.minibatches:
            raise ValueError("a minibatch of one step has no advantages to compare; use fewer minibatches")


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


def spec(cfg: Config, envs: Environments):
    """Parameters of the policy and of its value function."""
    return module_of(cfg.policy).spec(cfg.policy, envs.shape, envs.actions)


def apply(params, memory_B, observation_BT, first_BT, cfg: Config, envs: Environments):
    """(memory, distribution over actions, value) of the policy, starting from memory `memory_B`."""
    return module_of(cfg.policy).apply(params, memory_B, observation_BT, first_BT, cfg.policy, envs.actions)


def normalized(tree, seen: moments.Moments, cfg: Config):
    """Every Observation in `tree` as the policy sees it."""
    if not cfg.normalize:
        return tree
    is_observation = lambda x: isinstance(x, Observation)
    standardized = lambda x: x.replace(view=moments.standardize(x.view, seen)) if is_observation(x) else x
    return jax.tree.map(standardized, tree, is_leaf=is_observation)


def actor(choose, params, seen: moments.Moments, cfg: Config, envs: Environments):
    """The policy as a function that acts: `choose(distribution, key)` picks the action."""

    def act(memory_N, observation_N, first_N, key):
        observation_NT = jax.tree.map(lambda x: x[:, None], normalized(observation_N, seen, cfg))
        memory_N, policy, _ = apply(params, memory_N, observation_NT, first_N[:, None], cfg, envs)
        return memory_N, choose(policy, key)[:, 0]

    return act


def sequences(tree, span: int):
    """Leaves (T, N, ...) cut into sequences of `span` steps: (T / span * N, span, ...)."""

    def cut(x):
        T, N, *rest = x.shape
        return x.reshape(T // span, span, N, *rest).swapaxes(1, 2).reshape(-1, span, *rest)

    return jax.tree.map(cut, tree)


def to_batch(params, taken: Trajectory, cfg: Config, envs: Environments) -> Batch:
    """A rollout with what it teaches, (T, N, ...): log pi_old(a|s), V_old(s) and A of every step, each from the memory the policy had there.

    V(s') is that of what the action led to, also at a time limit and at the rollout's end.
    """
    before = jax.tree.map(lambda x: split_batch(x.reshape(-1, 1, *x.shape[2:])), taken)
    memory, next_memory = jax.tree.map(lambda x: x[:, 0], (before.memory, before.next_memory))
    _, policy, value = apply(params, memory, before.observation, before.first, cfg, envs)
    _, _, next_value = apply(params, next_memory, before.next_observation, jnp.zeros_like(before.first), cfg, envs)
    log_prob, value, next_value = (x.reshape(taken.first.shape) for x in (policy.log_prob(before.action), value, next_value))
    reward = cfg.reward_scale * taken.reward
    advantage = gae(reward, value, next_value, taken.terminated, taken.truncated, cfg.discount, cfg.lambda_)
    return Batch(taken.observation, taken.first, taken.memory, taken.action, log_prob, value, advantage)


def loss_fn(params, extra, batch: Batch, key, cfg: Config, envs: Environments):
    """The loss at the top of this file, for one minibatch."""
    memory = jax.tree.map(lambda x: x[:, 0], batch.memory)
    _, policy, value = apply(params, memory, batch.observation, batch.first, cfg, envs)
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    A = (batch.advantage - jnp.mean(batch.advantage)) / (jnp.std(batch.advantage) + 1e-8)
    policy_loss = -jnp.mean(jnp.minimum(ratio * A, jnp.clip(ratio, 1 - cfg.clip, 1 + cfg.clip) * A))

    target = batch.value + batch.advantage
    error = jnp.square(value - target)
    if cfg.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -cfg.value_clip, cfg.value_clip)
        error = jnp.maximum(error, jnp.square(near - target))
    value_loss, entropy = jnp.mean(error), jnp.mean(policy.entropy())

    loss = policy_loss + cfg.value_weight * value_loss - cfg.entropy_weight * entropy
    metrics = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": jnp.mean(ratio - 1 - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > cfg.clip),
    }
    return loss, (extra, metrics)


def train_step(state: State, batch, key, cfg: Config, envs: Environments):
    """One iteration of algorithm 1: a rollout, its advantages, then epochs over its minibatches."""
    key_rollout, key_order, key_updates = jax.random.split(key, 3)
    extra: Extra = state.extra
    act = actor(lambda policy, key: policy.sample(key), state.params, extra.seen, cfg, envs)
    running, taken = rollout(act, envs, extra.running, key_rollout, cfg.length)

    data = to_batch(state.params, normalized(taken, extra.seen, cfg), cfg, envs)
    examples = sequences(data, module_of(cfg.policy).span(cfg.policy))
    rows = permutations(key_order, cfg.epochs, len(examples.first)).reshape(cfg.epochs * cfg.minibatches, -1)
    loss, tx = functools.partial(loss_fn, cfg=cfg, envs=envs), transformation(cfg, envs)

    def minibatch(state, inputs):
        rows, key = inputs
        return update(loss, tx, state, jax.tree.map(lambda x: split_batch(x[rows]), examples), key)

    state, metrics = jax.lax.scan(minibatch, state.replace(extra=()), (rows, jax.random.split(key_updates, len(rows))))
    metrics = jax.tree.map(jnp.mean, metrics) | episode_metrics(running.episodes)
    metrics["explained_variance"] = 1 - jnp.var(data.advantage) / jnp.maximum(jnp.var(data.value + data.advantage), 1e-8)
    extra = Extra(running, moments.merge(extra.seen, taken.observation.view))
    return state.replace(extra=extra, step=state.step + 1), metrics


def transformation(cfg: Config, envs: Environments):
    """AdamW; its schedule spans all updates of the run, and only matrices decay."""
    return optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, core_spec.matrices(spec(cfg, envs)))


def evaluate(state: State, batch, key, cfg: Config, envs: Environments):
    """Mean over `envs.n` episodes of the most probable (or mean) action, observations normalised as at the end of training."""
    act = actor(lambda policy, key: policy.mode(), state.params, state.extra.seen, cfg, envs)
    returns, lengths = first_episodes(act, envs, module_of(cfg.policy).empty_memory(cfg.policy, envs.n), key)
    return {"eval_return": jnp.mean(returns), "eval_length": jnp.mean(lengths.astype(jnp.float32))}


def init_state(key, cfg: Config, envs: Environments) -> State:
    """Fresh parameters, and environments at the start of an episode."""
    key_params, key_envs = jax.random.split(key)
    params = core_spec.init(spec(cfg, envs), key_params)
    running = start(envs, module_of(cfg.policy).empty_memory(cfg.policy, envs.n), key_envs)
    return State(params, transformation(cfg, envs).init(params), Extra(running, moments.initial(envs.shape)), jnp.int32(0))


def system(cfg: Config) -> System:
    """PPO on the environments of the config: `n_envs` to learn in, `eval_episodes` others to be judged in."""
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    ppo = System(
        spec=spec(cfg, envs),
        init_state=functools.partial(init_state, cfg=cfg, envs=envs),
        train_step=functools.partial(train_step, cfg=cfg, envs=envs),
        evaluate=functools.partial(evaluate, cfg=cfg, envs=held_out),
        extra_axes=Extra(running=("batch",), seen=None),
    )
    if cfg.seeds == 0:
        return ppo
    return dataclasses.replace(ppo, report=lambda state, key: learning_curves(ppo, cfg.run, cfg.seeds, held_out, key))
