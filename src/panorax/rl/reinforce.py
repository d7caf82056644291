"""REINFORCE: the policy gradient from whole episodes, with and without a baseline.

One training step plays one episode in each of N environments and takes one gradient step on

    - 1/N sum_n sum_t (G_t - b) log pi(a_t|s_t),    G_t = sum_{k >= t} discount^(k - t) r_k,

whose gradient is an estimate of the policy gradient without bias for every baseline b that does not
depend on the action (Williams 1992, theorem 1). Baselines:

    none     0
    mean     mean return to go of the other N - 1 episodes, over all their steps
    value    V(s_t), a critic fitted to the returns to go

The factor discount^t of the exact gradient of the discounted return is left out, as usual. The
report measures the variance of the gradient for each baseline, and for the advantages of an actor
critic, which bootstrap from the same critic: on the same episodes, at several stages of training.
Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
reinforcement learning"; Greensmith et al. 2004.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from panorax.core import figures, struct
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, checked
from panorax.core.state import Result, State, System
from panorax.core.step import scan_steps, update
from panorax.core.study import family, joined
from panorax.ops.losses import weighted_mean
from panorax.ops.returns import gae
from panorax.rl import moments, on_policy
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.episodes import restarted
from panorax.rl.on_policy import Acting, Extra, evaluate, normalized, sampler
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import first_episode, rollout, start

UNITS = on_policy.UNITS | {"entropy": "nats"}
"""units of the metrics, for the axes of curves"""
LABELS = {
    "none": "no baseline",
    "mean": "mean of the other episodes",
    "value": "critic",
    "bootstrap": "critic, bootstrapped",
}
BASELINES = tuple(LABELS)
"""advantages whose gradients the report compares"""
STAGES = 4
"""equal parts of the training, after each of which the report measures gradients"""


@checked
class Config(Acting):
    optim: Optimizer = AdamW(peak_lr=5e-3, schedule="linear", b2=0.99, eps=1e-5, clip=1e3)
    """optimiser of all parameters"""
    baseline: Literal["none", "mean", "value"] = "value"
    """baseline that is subtracted from the returns to go [b]"""
    value_weight: NonNegative = 0.5
    """weight of the critic's squared error, whose gradient the baseline `value` needs"""
    measured_rollouts: Count = 64
    """rollouts from which the report estimates the variance of a gradient"""

    def __post_init__(self):
        if self.n_envs < 2:
            raise ValueError("the mean over the other episodes needs n_envs of at least 2")


@struct.dataclass
class Batch:
    """One episode in each environment; all leaves are (N, T, ...)."""

    observation: Observation
    """normalised observations s"""
    first: jax.Array
    """true at the first steps of episodes"""
    memory: Any
    """memory of the policy before each step"""
    action: jax.Array
    """actions a"""
    reward: jax.Array
    """rewards r"""
    ended: jax.Array
    """true at the last steps of episodes, terminated or truncated"""
    inside: jax.Array
    """true up to the end of the first episode; later steps do not count"""


def play(
    state: State, key: jax.Array, policy: Policy, envs: Environments, cfg: Config
) -> tuple[Extra, Batch]:
    """One new episode in every environment, and the state after them."""
    extra: Extra = state.extra
    key_start, key_steps = jax.random.split(key)
    running = start(envs, policy.empty_memory(envs.n), key_start)
    running = running.replace(episodes=restarted(extra.running.episodes))
    act = sampler(state, policy, cfg)
    running, trajectory = rollout(act, envs, running, key_steps, envs.max_steps)
    batch = Batch(
        observation=normalized(trajectory.observation, extra.observed, cfg),
        first=trajectory.first,
        memory=trajectory.memory,
        action=trajectory.action,
        reward=cfg.reward_scale * trajectory.reward,
        ended=trajectory.terminated | trajectory.truncated,
        inside=first_episode(trajectory),
    )
    extra = Extra(running, moments.merge(extra.observed, trajectory.observation.view))
    return extra, jax.tree.map(lambda x: split_batch(jnp.swapaxes(x, 0, 1)), batch)


def advantages(batch: Batch, value: jax.Array, cfg: Config) -> dict[str, jax.Array]:
    """Weights of grad log pi(a|s) by baseline, each (N, T).

    `bootstrap` is the generalised advantage estimate with lambda = 0.95, whose critic `value` also
    replaces later rewards. It is biased; the others are not.
    """
    estimate = lambda value, following, lambda_: (
        gae(
            *(
                x.T
                for x in (batch.reward, value, following, batch.ended, jnp.zeros_like(batch.ended))
            ),
            cfg.discount,
            lambda_,
        ).T
    )
    zero = jnp.zeros_like(value)
    to_go = estimate(zero, zero, 1.0)
    following = jnp.concatenate([value[:, 1:], zero[:, :1]], 1)
    total, steps = (jnp.sum(x * batch.inside, 1, keepdims=True) for x in (to_go, zero + 1))
    others = (jnp.sum(total) - total) / (jnp.sum(steps) - steps)
    return {
        "none": to_go,
        "mean": to_go - others,
        "value": to_go - value,
        "bootstrap": estimate(value, following, 0.95),
    }


def losses(params, batch: Batch, policy: Policy, cfg: Config) -> dict[str, Any]:
    """The policy loss of every baseline, the squared error of the critic, and the entropy.

    The gradient of a policy loss is an estimate of the policy gradient, with its sign reversed.
    """
    pi, value = on_policy.apply(params, batch, policy)
    log_prob, weights = pi.log_prob(batch.action), advantages(batch, value, cfg)
    to_loss = lambda A: -jnp.sum(batch.inside * jax.lax.stop_gradient(A) * log_prob) / len(A)
    return {
        "policy": jax.tree.map(to_loss, weights),
        "value": weighted_mean(jnp.square(value - weights["none"]), batch.inside),
        "entropy": weighted_mean(pi.entropy(), batch.inside),
    }


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """The module's equation with the baseline of `cfg`, plus the squared error of the critic."""
    terms = losses(params, batch, policy, cfg)
    policy_loss = terms["policy"][cfg.baseline]
    loss = policy_loss + cfg.value_weight * terms["value"]
    metrics = {"policy_loss": policy_loss, "value_loss": terms["value"]}
    return loss, (extra, metrics | {"entropy": terms["entropy"]})


def train_step(
    state: State,
    batch,
    key,
    policy: Policy,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """One episode in every environment, then one update."""
    key_play, key_update = jax.random.split(key)
    extra, episodes = play(state, key_play, policy, envs, cfg)
    loss = functools.partial(loss_fn, policy=policy, cfg=cfg)
    params, opt, _, metrics = update(loss, tx, state.params, state.opt, (), episodes, key_update)
    metrics |= episode_metrics(extra.running.episodes)
    return State(params, opt, extra, state.step + 1), metrics


def gradient_variance(
    state: State, key: jax.Array, policy: Policy, envs: Environments, cfg: Config
) -> jax.Array:
    """Variance of the policy gradient for each of BASELINES, on the same independent rollouts.

    The variance of a vector is the trace of its covariance.
    """

    def gradients(key):
        _, episodes = play(state, key, policy, envs, cfg)
        jacobian = jax.jacrev(lambda params: losses(params, episodes, policy, cfg)["policy"])
        by_baseline = jacobian(state.params)
        return jnp.stack([ravel_pytree(by_baseline[name])[0] for name in BASELINES])

    sample = jax.lax.map(gradients, jax.random.split(key, cfg.measured_rollouts))
    return jnp.sum(jnp.var(sample, 0, ddof=1), -1)


def variances(system: System, measure, cfg: Config, key: jax.Array) -> Result:
    """Trains one more seed and measures the variance of its gradients at STAGES + 1 moments.

    measure: gradient_variance as a function of the state and a key.
    The metrics are the variances relative to the one without baseline, as geometric means over the
    moments after the start, at which the critic is untrained.
    """
    key_init, key_train, key_measure = jax.random.split(key, 3)
    n = max(cfg.run.steps // STAGES, 1)
    train = jax.jit(lambda state: scan_steps(system.train_step, state, (), key_train, n)[0])
    state, measure = jax.jit(system.init_state)(key_init), jax.jit(measure)
    variance_SB = [measure(state, key_measure)]
    for _ in range(STAGES):
        state = train(state)
        variance_SB.append(measure(state, key_measure))
    variance_SB = np.stack(jax.device_get(variance_SB))
    relative = np.exp(np.mean(np.log(variance_SB[1:] / variance_SB[1:, :1]), 0))
    metrics = family("gradient_variance_{}", dict(zip(BASELINES[1:], relative[1:])))
    steps = n * system.per_step["environment_steps"] * np.arange(STAGES + 1)
    return Result(metrics, {"gradient_variance.png": draw_variances(variance_SB, steps)})


def draw_variances(variance_SB: np.ndarray, steps: np.ndarray):
    """Variance of the gradient over training, a line per baseline."""
    figure, (ax,) = figures.panels(width=6, height=4)
    for i, name in enumerate(BASELINES):
        ax.plot(steps, variance_SB[:, i], marker="o", label=LABELS[name])
    ax.set(xlabel="environment steps", ylabel="variance of the gradient (trace)", yscale="log")
    return figures.legends(figure)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """REINFORCE as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment.
    """
    scene = envs, _, policy = on_policy.parts(cfg)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, policy.spec)
    step = functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg)
    plain = on_policy.system_of(cfg, step, evaluate, tx.init, scene, envs.max_steps)
    if cfg.seeds == 0:
        return plain
    measure = functools.partial(gradient_variance, policy=policy, envs=envs, cfg=cfg)

    def report(state, key):
        key_seeds, key_variance = jax.random.split(key)
        curves = plain.report(state, key_seeds)
        return joined([curves, variances(plain, measure, cfg, key_variance)])

    return dataclasses.replace(plain, report=report)
