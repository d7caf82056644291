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
from panorax.rl.play import SHOWN, player
from panorax.rl.policies import gru, mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Running, Trajectory, first_episodes, rollout, sequences, start
from panorax.rl.seeds import report_of

UNITS = {"return": "sum of rewards", "length": "steps", "entropy": "nats", "approx_kl": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """Symbols of the paper are in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | from_gymnasium.Config | probes.Config = (
        from_gymnax.Config()
    )
    """environment to act in"""
    policy: mlp.Config | gru.Config = mlp.Config()
    """networks of the actor and the critic"""
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, eps=1e-5, clip=0.5)
    """optimiser of all parameters"""
    run: Run = Run(steps=400, chunk=10)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 8
    """environments stepped together [N]"""
    length: Count = 32
    """steps of a rollout in each environment [T]"""
    epochs: Count = 20
    """passes over a rollout [K]"""
    minibatches: Count = 1
    """updates per epoch [N T / M]"""
    discount: Share = 0.98
    """discount per step [gamma]"""
    gae_lambda: Share = 0.8
    """GAE lambda: 0 is one-step TD, 1 is Monte Carlo [lambda]"""
    clip: Positive = 0.2
    """radius of the clipped probability ratio around 1 [eps]"""
    value_weight: NonNegative = 0.5
    """weight of the value loss [c1]"""
    value_clip: Positive | None = None
    """radius of PPO2's value clipping (max of clipped and unclipped error); None disables it"""
    entropy_weight: NonNegative = 0.0
    """weight of the entropy bonus [c2]"""
    reward_scale: Positive = 1.0
    """factor on the rewards in training; reported returns are not scaled"""
    normalize: bool = False
    """standardisation of observations by their running mean and variance"""
    eval_episodes: Count = 100
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the final report trains in parallel; 0 disables the report"""

    def __post_init__(self):
        span = self.policy.span
        if self.length % span or self.length // span * self.n_envs % self.minibatches:
            sequences = f"{self.n_envs} environments x {self.length} steps in sequences of {span}"
            raise ValueError(f"{sequences} do not divide into {self.minibatches} equal minibatches")
        if self.length * self.n_envs == self.minibatches:
            raise ValueError(
                "a minibatch of one step has no advantages to standardise; use fewer minibatches"
            )


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments and the policy's memory"""
    observed: moments.Moments
    """moments of all observations so far"""


@struct.dataclass
class Batch:
    """Training examples; all leaves are (B, T, ...)."""

    observation: Observation
    """normalised observations s"""
    first: jax.Array
    """true at the first steps of episodes"""
    memory: Any
    """memory of the policy before each step; a sequence starts from its first entry"""
    action: jax.Array
    """actions a"""
    log_prob: jax.Array
    """log pi_old(a|s)"""
    value: jax.Array
    """V_old(s)"""
    advantage: jax.Array
    """advantages A"""


def normalized(tree, observed: moments.Moments, cfg: Config):
    """`tree` with every Observation in it standardised if `cfg.normalize`."""
    if not cfg.normalize:
        return tree
    is_observation = lambda x: isinstance(x, Observation)
    standardized = lambda x: (
        x.replace(view=moments.standardize(x.view, observed)) if is_observation(x) else x
    )
    return jax.tree.map(standardized, tree, is_leaf=is_observation)


def actor(choose, params, observed: moments.Moments, policy: Policy, cfg: Config):
    """The policy as an `Act` function; `choose(distribution, key)` returns the action."""

    def act(memory_N, observation_N, first_N, key):
        observation_N = normalized(observation_N, observed, cfg)
        observation_NT = jax.tree.map(lambda x: x[:, None], observation_N)
        memory_N, distribution, _ = policy.apply(params, memory_N, observation_NT, first_N[:, None])
        return memory_N, choose(distribution, key)[:, 0]

    return act


def to_batch(params, trajectory: Trajectory, policy: Policy, cfg: Config) -> Batch:
    """Examples (T, N, ...) of a rollout, each evaluated from the policy's memory at its step.

    Advantages bootstrap from the next observation's value at time limits and at the rollout's end.
    """
    before = jax.tree.map(lambda x: split_batch(x.reshape(-1, 1, *x.shape[2:])), trajectory)
    memory, next_memory = jax.tree.map(lambda x: x[:, 0], (before.memory, before.next_memory))
    _, pi, value = policy.apply(params, memory, before.observation, before.first)
    _, _, next_value = policy.apply(
        params, next_memory, before.next_observation, jnp.zeros_like(before.first)
    )
    log_prob, value, next_value = (
        x.reshape(trajectory.first.shape) for x in (pi.log_prob(before.action), value, next_value)
    )
    reward, ends = (
        cfg.reward_scale * trajectory.reward,
        (trajectory.terminated, trajectory.truncated),
    )
    advantage = gae(reward, value, next_value, *ends, cfg.discount, cfg.gae_lambda)
    return Batch(
        observation=trajectory.observation,
        first=trajectory.first,
        memory=trajectory.memory,
        action=trajectory.action,
        log_prob=log_prob,
        value=value,
        advantage=advantage,
    )


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """Loss of one minibatch, as in the module's equation."""
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
    """One iteration of algorithm 1: a rollout, its advantages, then K epochs of minibatches."""
    key_rollout, key_order, key_updates = jax.random.split(key, 3)
    extra: Extra = state.extra
    act = actor(lambda pi, key: pi.sample(key), state.params, extra.observed, policy, cfg)
    running, trajectory = rollout(act, envs, extra.running, key_rollout, cfg.length)

    data = to_batch(state.params, normalized(trajectory, extra.observed, cfg), policy, cfg)
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
    extra = Extra(running, moments.merge(extra.observed, trajectory.observation.view))
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Config):
    """Mean undiscounted return and length of `envs.n` episodes under the mode of the policy."""
    act = actor(lambda pi, key: pi.mode(), state.params, state.extra.observed, policy, cfg)
    returns, lengths = first_episodes(act, envs, policy.empty_memory(envs.n), key)
    return {"eval_return": (jnp.sum(returns), envs.n), "eval_length": (jnp.sum(lengths), envs.n)}


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PPO as a System; `tx` replaces the optimiser. Raises UserError for an unknown environment."""
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

    def greedy(state):
        observed = state.extra.observed
        return actor(lambda pi, key: pi.mode(), state.params, observed, policy, cfg)

    shown = make(cfg.environment, SHOWN)
    ppo = System(
        spec=policy.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, policy=policy, envs=held_out, cfg=cfg),
        extra_axes=Extra(running=("batch",), observed=None),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        on_host=envs.on_host,
        play=player(greedy, shown, policy.empty_memory),
    )
    if cfg.seeds == 0:
        return ppo
    return dataclasses.replace(ppo, report=report_of(ppo, cfg.run, cfg.seeds, held_out))
