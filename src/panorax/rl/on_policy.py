"""Parts of on-policy algorithms: acting, advantages, updates, and the System around a step.

Arrays of a rollout are (T, N, ...) over time and environments. Training examples are (B, T, ...),
with sequences as long as the policy's span, one step without memory. The state holds the
environments, so that training is a pure function.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer
from panorax.core.ranges import Count, NonNegative, Positive, Share, Whole, checked
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.ops.permutation import permutations
from panorax.ops.returns import gae
from panorax.rl import moments
from panorax.rl.environments import deep_sea, from_gymnasium, from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.evaluation import evaluated_episodes
from panorax.rl.play import SHOWN, player
from panorax.rl.policies import gru, mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Running, Trajectory, rollout, start
from panorax.rl.seeds import no_measures, report_of

UNITS = {"return": "sum of rewards", "length": "steps"}
"""units of the metrics that all on-policy algorithms have, for the axes of curves"""


@checked
class Acting:
    """The environment, the policy, and what a report measures."""

    environment: (
        from_gymnax.Config
        | from_pgx.Config
        | from_gymnasium.Config
        | deep_sea.Config
        | probes.Config
    ) = from_gymnax.Config()
    """environment to act in"""
    policy: mlp.Config | gru.Config = mlp.Config()
    """networks of the actor and the critic"""
    run: Run = Run(steps=400, chunk=10)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 8
    """environments stepped together [N]"""
    discount: Share = 0.98
    """discount per step [gamma]"""
    reward_scale: Positive = 1.0
    """factor on the rewards in training; reported returns are not scaled"""
    normalize: bool = False
    """standardisation of observations by their running mean and variance"""
    eval_episodes: Count = 100
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the final report trains in parallel; 0 disables the report"""


@checked
class Rollouts(Acting):
    """Rollouts of fixed length, whose advantages bootstrap from the critic."""

    length: Count = 32
    """steps of a rollout in each environment [T]"""
    gae_lambda: Share = 0.8
    """GAE lambda: 0 is one-step TD, 1 is Monte Carlo [lambda]"""

    def __post_init__(self):
        if self.length % self.policy.span:
            raise ValueError(
                f"a rollout of {self.length} steps does not divide into sequences of "
                f"{self.policy.span} steps"
            )


@checked
class Clipped(Rollouts):
    """PPO's clipped loss over minibatches; symbols of the paper are in brackets."""

    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, eps=1e-5, clip=0.5)
    """optimiser of all parameters"""
    epochs: Count = 20
    """passes over a rollout [K]"""
    minibatches: Count = 1
    """updates per epoch [N T / M]"""
    clip: Positive = 0.2
    """radius of the clipped probability ratio around 1 [eps]"""
    value_weight: NonNegative = 0.5
    """weight of the value loss [c1]"""
    value_clip: Positive | None = None
    """radius of PPO2's value clipping (max of clipped and unclipped error); None disables it"""
    entropy_weight: NonNegative = 0.0
    """weight of the entropy bonus [c2]"""

    def __post_init__(self):
        super().__post_init__()
        span = self.policy.span
        if self.length // span * self.n_envs % self.minibatches:
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


def normalized(tree, observed: moments.Moments, cfg: Acting):
    """`tree` with every Observation in it standardised if `cfg.normalize`."""
    if not cfg.normalize:
        return tree
    is_observation = lambda x: isinstance(x, Observation)
    standardize = lambda x: (
        x.replace(view=moments.standardize(x.view, observed)) if is_observation(x) else x
    )
    return jax.tree.map(standardize, tree, is_leaf=is_observation)


def actor(choose, params, observed: moments.Moments, policy: Policy, cfg: Acting):
    """The policy as an `Act` function; `choose(distribution, key)` returns the action."""

    def act(memory_N, observation_N, first_N, key):
        observation_N = normalized(observation_N, observed, cfg)
        observation_NT = jax.tree.map(lambda x: x[:, None], observation_N)
        memory_N, distribution, _ = policy.apply(params, memory_N, observation_NT, first_N[:, None])
        return memory_N, choose(distribution, key)[:, 0]

    return act


def sampler(state: State, policy: Policy, cfg: Acting):
    """The policy of `state` as an `Act` function that samples its actions."""
    return actor(lambda pi, key: pi.sample(key), state.params, state.extra.observed, policy, cfg)


def to_batch(params, trajectory: Trajectory, policy: Policy, cfg: Rollouts) -> Batch:
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


def collect(
    state: State, key: jax.Array, policy: Policy, envs: Environments, cfg: Rollouts
) -> tuple[Extra, Batch, dict[str, jax.Array]]:
    """One rollout: the state after it, its examples (T, N, ...), and metrics of its episodes.

    The metric `explained_variance` is 1 - Var(R - V) / Var(R) for the critic's targets R.
    """
    act = sampler(state, policy, cfg)
    running, trajectory = rollout(act, envs, state.extra.running, key, cfg.length)
    return after_rollout(state, running, trajectory, policy, cfg)


def after_rollout(
    state: State, running: Running, trajectory: Trajectory, policy: Policy, cfg: Rollouts
) -> tuple[Extra, Batch, dict[str, jax.Array]]:
    """The result of `collect`, from the rollout of the policy of `state`."""
    observed = state.extra.observed
    data = to_batch(state.params, normalized(trajectory, observed, cfg), policy, cfg)
    metrics = episode_metrics(running.episodes)
    metrics["explained_variance"] = 1 - jnp.var(data.advantage) / jnp.maximum(
        jnp.var(data.value + data.advantage), 1e-8
    )
    extra = Extra(running, moments.merge(observed, trajectory.observation.view))
    return extra, data, metrics


def apply(params, batch: Batch, policy: Policy):
    """Action distribution and value of every step of `batch`, (B, T, ...)."""
    memory = jax.tree.map(lambda x: x[:, 0], batch.memory)
    _, pi, value = policy.apply(params, memory, batch.observation, batch.first)
    return pi, value


def standardized(advantage: jax.Array) -> jax.Array:
    """Advantages with mean 0 and standard deviation 1 over all examples."""
    return (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)


def clipped_surrogate(log_ratio: jax.Array, advantage: jax.Array, clip: float):
    """-E[min(r A, clip(r, 1 - clip, 1 + clip) A)] with r = exp(log_ratio), and metrics of r.

    `approx_kl` is E[r - 1 - log r], an estimate of KL(pi_old | pi) without bias.
    Source: Schulman et al. 2017, equation 7.
    """
    ratio = jnp.exp(log_ratio)
    A = advantage
    loss = -jnp.mean(jnp.minimum(ratio * A, jnp.clip(ratio, 1 - clip, 1 + clip) * A))
    return loss, {
        "approx_kl": jnp.mean(ratio - 1 - log_ratio),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > clip),
    }


def clipped_loss(pi, value: jax.Array, batch: Batch, advantage: jax.Array, cfg: Clipped):
    """PPO's loss of one minibatch, and its metrics.

    pi, value: action distribution and value of the steps of `batch`, under the new parameters.
    advantage: advantages in the policy's loss; the value's targets have those of `batch`.
    """
    log_ratio = pi.log_prob(batch.action) - batch.log_prob
    policy_loss, metrics = clipped_surrogate(log_ratio, standardized(advantage), cfg.clip)
    target = batch.value + batch.advantage
    error = jnp.square(value - target)
    if cfg.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -cfg.value_clip, cfg.value_clip)
        error = jnp.maximum(error, jnp.square(near - target))
    value_loss, entropy = jnp.mean(error), jnp.mean(pi.entropy())

    loss = policy_loss + cfg.value_weight * value_loss - cfg.entropy_weight * entropy
    metrics |= {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
    return loss, metrics


def policy_change(before, after, batch: Batch, policy: Policy) -> dict[str, jax.Array]:
    """The distance that an update moved the policy, from parameters `before` to `after`.

    kl                  mean over the states of KL(pi_before | pi_after), in nats
    largest_log_ratio   largest |log pi_after(a|s) - log pi_before(a|s)| of the actions taken
    """
    batch = jax.tree.map(split_batch, batch)
    (old, _), (new, _) = apply(before, batch, policy), apply(after, batch, policy)
    log_ratio = new.log_prob(batch.action) - old.log_prob(batch.action)
    return {"kl": jnp.mean(old.kl(new)), "largest_log_ratio": jnp.max(jnp.abs(log_ratio))}


def minibatch_updates(
    loss, tx, params, opt, examples, keys: tuple[jax.Array, jax.Array], epochs: int, n: int
):
    """`epochs` passes over the leading axis of `examples`, in `n` random minibatches each.

    keys: keys of the order and of the updates. Returns (params, opt, metrics), the metrics averaged
    over the updates.
    """
    key_order, key_updates = keys
    size = jax.tree.leaves(examples)[0].shape[0]
    rows = permutations(key_order, epochs, size).reshape(epochs * n, -1)

    def minibatch(carry, inputs):
        rows, key = inputs
        batch = jax.tree.map(lambda x: split_batch(x[rows]), examples)
        params, opt, _, metrics = update(loss, tx, *carry, (), batch, key)
        return (params, opt), metrics

    keys = jax.random.split(key_updates, len(rows))
    (params, opt), metrics = jax.lax.scan(minibatch, (params, opt), (rows, keys))
    return params, opt, jax.tree.map(jnp.mean, metrics)


def best(state: State, policy: Policy, cfg: Acting):
    """The mode of the policy of `state` as an `Act` function."""
    return actor(lambda pi, key: pi.mode(), state.params, state.extra.observed, policy, cfg)


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Acting):
    """Mean undiscounted return and length of `envs.n` episodes under the mode of the policy."""
    memory = policy.empty_memory(envs.n)
    return evaluated_episodes(best(state, policy, cfg), envs, memory, key)


def parts(cfg: Acting) -> tuple[Environments, Environments, Policy]:
    """Training environments, environments of the evaluation, and the policy.

    Raises UserError for an unknown environment.
    """
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    return envs, held_out, module_of(cfg.policy).policy(cfg.policy, envs.shape, envs.actions)


def system_of(
    cfg: Acting,
    train_step: Callable,
    evaluate: Callable,
    init_opt: Callable,
    scene: tuple[Environments, Environments, Policy],
    length: int,
    measure: Callable = no_measures,
) -> System:
    """The System of an algorithm with this `train_step(state, batch, key)`.

    evaluate: `evaluate` of this module, or a function with its arguments.
    init_opt: init_opt(params) is the first state of the optimiser.
    scene: result of `parts`.
    length: steps in each environment of one training step.
    measure: measures of the report, as for `panorax.rl.seeds.report_of`.
    """
    envs, held_out, policy = scene

    def init_state(key):
        key_params, key_envs = jax.random.split(key)
        running = start(envs, policy.empty_memory(envs.n), key_envs)
        params = core_spec.init(policy.spec, key_params)
        extra = Extra(running, moments.initial(envs.shape))
        return State(params, init_opt(params), extra, jnp.int32(0))

    shown = module_of(cfg.environment).environments(cfg.environment, SHOWN)
    system = System(
        spec=policy.spec,
        init_state=init_state,
        train_step=train_step,
        evaluate=functools.partial(evaluate, policy=policy, envs=held_out, cfg=cfg),
        extra_axes=Extra(running=("batch",), observed=None),
        per_step={"environment_steps": cfg.n_envs * length},
        on_host=envs.on_host,
        play=player(functools.partial(best, policy=policy, cfg=cfg), shown, policy.empty_memory),
    )
    if cfg.seeds == 0:
        return system
    report = report_of(system, cfg.run, cfg.seeds, held_out, measure)
    return dataclasses.replace(system, report=report)
