"""Generative adversarial imitation learning: PPO with a discriminator as its reward.

The discriminator D of `panorax.rl.imitation.discriminator` separates the expert's pairs from the
policy's pairs; d is its logit. PPO maximises one of

    log_ratio    log D - log(1 - D) = d    (Fu et al. 2018)
    survival     -log(1 - D), positive: it also pays for long episodes (Ho & Ermon 2016, whose D
                 is the probability of the policy, 1 - D here)
    penalty      log D, negative: it also pays for short episodes
    constant     1, a control that ignores D

The signs matter where a policy can end its episode (Kostrikov et al. 2019, arXiv:1809.02925). The
expert is another on-policy algorithm, trained on the true rewards. As in the paper, the
demonstrations are every `stride`-th step of its episodes.
Source: Ho & Ermon 2016, arXiv:1606.03476; Fu et al. 2018, arXiv:1710.11248.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core.config import module_of
from panorax.core.errors import UserError
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, checked
from panorax.core.state import Result, State, System
from panorax.core.study import joined
from panorax.data.batches import epochs
from panorax.rl import on_policy
from panorax.rl.environments.environment import Box, Discrete, Environments, Space
from panorax.rl.imitation import discriminator
from panorax.rl.imitation import report as comparison
from panorax.rl.imitation.experts import algorithm, demonstrations, expert
from panorax.rl.on_policy import Batch, Clipped, after_rollout, clipped_loss, minibatch_updates
from panorax.rl.play import draw_frames
from panorax.rl.policies import mlp as policies
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Trajectory, rollout, sequences
from panorax.rl.seeds import require_device
from panorax.rl.torsos import mlp

UNITS = on_policy.UNITS | {"discriminator_loss": "nats", "reward": "nats", "entropy": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config(Clipped):
    """Options of PPO, of the discriminator, and of the comparison in the report."""

    policy: policies.Config = policies.Config()
    """networks of the actor and the critic"""
    expert: str = "panorax.configs.rl.ppo:get_config"
    """config of the on-policy algorithm that trains the expert, as module:function"""
    episodes: Count = 4
    """demonstrated episodes"""
    stride: Count = 20
    """steps of an episode from one demonstrated pair to the next"""
    pairs: Count = 64
    """demonstrated pairs in the updates of a training step [M]"""
    discriminator: mlp.Config = mlp.Config((64, 64), activation="tanh")
    """hidden layers of d, whose input is the standardised view beside the action"""
    discriminator_optim: Optimizer = AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=1e6)
    """optimiser of the discriminator"""
    discriminator_updates: Count = 4
    """updates of the discriminator after each rollout, each on an equal part of its pairs"""
    penalty: NonNegative = 1.0
    """weight of the squared gradient of d"""
    reward: Literal["log_ratio", "survival", "penalty", "constant"] = "log_ratio"
    """reward of the policy as a function of D"""
    compared: comparison.Config = comparison.Config()
    """numbers of demonstrated episodes and behaviour cloning in the report"""

    def __post_init__(self):
        super().__post_init__()
        if self.n_envs * self.length % self.discriminator_updates:
            raise ValueError(
                f"{self.n_envs} environments x {self.length} steps do not divide into "
                f"{self.discriminator_updates} equal updates of the discriminator"
            )


def loss_fn(params, extra, batch: Batch, key, policy: Policy, cfg: Config):
    """PPO's loss of one minibatch."""
    pi, value = on_policy.apply(params, batch, policy)
    loss, metrics = clipped_loss(pi, value, batch, batch.advantage, cfg)
    return loss, (extra, metrics)


def acting(state: State) -> State:
    """The state as an on-policy algorithm without a discriminator has it."""
    return state.replace(params=state.params["policy"])


def separate(state: State, batch: dict, steps: Trajectory, keys, space: Space, d, tx, cfg: Config):
    """Updates the discriminator on a rollout: ((params, opt), rewards (T, N), metrics).

    batch: demonstrated "view" (M, ...), "action" (M, ...) and "weight" (M,).
    """
    beside = functools.partial(discriminator.pairs, observed=state.extra.observed, space=space)
    seen = beside(steps.observation.view, steps.action)
    shown = {"expert_MI": beside(batch["view"], batch["action"]), "weight_M": batch["weight"]}
    loss = functools.partial(discriminator.loss_fn, **shown, d=d, penalty=cfg.penalty)
    params, opt = (tree["discriminator"] for tree in (state.params, state.opt))
    examples, updates = seen.reshape(-1, seen.shape[-1]), cfg.discriminator_updates
    params, opt, metrics = minibatch_updates(loss, tx, params, opt, examples, keys, 1, updates)
    reward = discriminator.REWARDS[cfg.reward](d(params, seen))
    metrics = {name: metrics[name] for name in ("discriminator_loss", "accuracy")}
    return (params, opt), reward, metrics | {"reward": jnp.mean(reward)}


def train_step(
    state: State,
    batch: dict,
    key,
    policy: Policy,
    envs: Environments,
    d: Callable,
    txs: dict[str, optax.GradientTransformation],
    cfg: Config,
):
    """Algorithm 1: a rollout, updates of the discriminator, and PPO's updates on its reward."""
    key_rollout, *keys = jax.random.split(key, 5)
    act = on_policy.sampler(acting(state), policy, cfg)
    running, steps = rollout(act, envs, state.extra.running, key_rollout, cfg.length)
    judge, reward, metrics = separate(
        state, batch, steps, keys[:2], envs.actions, d, txs["discriminator"], cfg
    )
    steps = steps.replace(reward=reward)
    extra, data, episodes = after_rollout(acting(state), running, steps, policy, cfg)
    loss = functools.partial(loss_fn, policy=policy, cfg=cfg)
    learner = state.params["policy"], state.opt["policy"], sequences(data, policy.span)
    *actor, losses = minibatch_updates(
        loss, txs["policy"], *learner, keys[2:], cfg.epochs, cfg.minibatches
    )
    both = zip(actor, judge)
    params, opt = ({"policy": policy, "discriminator": d} for policy, d in both)
    return State(params, opt, extra, state.step + 1), metrics | episodes | losses


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Config):
    """Mean undiscounted return and length under the true rewards and the mode of the policy."""
    return on_policy.evaluate(acting(state), batch, key, policy, envs, cfg)


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies of the environment of the expert and of the policy."""
    return module_of(cfg.environment).environments(cfg.environment, n)


@functools.cache
def demonstrated(cfg: Config) -> dict:
    """The demonstrations of a run, {"view": (M', ...), "action": (M', ...), "weight": (M',)}."""
    act, envs = expert(algorithm(cfg.expert)), environments(cfg, cfg.episodes)
    key = jax.random.fold_in(jax.random.key(cfg.run.seed), 1)
    draw = jax.jit(lambda key: demonstrations(act, envs, key, cfg.stride))
    return jax.device_get(draw(key))._asdict()


def refuse(cfg: Config, envs: Environments) -> None:
    """Raises UserError for environments or demonstrations that GAIL cannot use.

    The expert must act in the same environment, actions must be single choices or vectors, and the
    stride must be at most the length of an episode.
    """
    teacher = algorithm(cfg.expert)
    if teacher.environment != cfg.environment:
        raise UserError(
            f"the expert {cfg.expert} acts in {teacher.environment}, the policy in "
            f"{cfg.environment}; both must act in the same environment"
        )
    if not isinstance(envs.actions, Discrete | Box):
        raise UserError(f"the discriminator sees single actions, and these are {envs.actions}")
    if cfg.stride > envs.max_steps:
        raise UserError(
            f"a stride of {cfg.stride} steps is longer than an episode of {envs.max_steps}"
        )


def optimizers(cfg: Config, spec: dict) -> dict[str, optax.GradientTransformation]:
    """Optimisers of the policy and of the discriminator."""
    options = {
        "policy": (cfg.optim, cfg.epochs * cfg.minibatches),
        "discriminator": (cfg.discriminator_optim, cfg.discriminator_updates),
    }
    return {
        name: optimizer(optim, cfg.run.steps * updates, spec[name])
        for name, (optim, updates) in options.items()
    }


def pair_shapes(envs: Environments, pairs: int) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of demonstrated pairs."""
    is_discrete = isinstance(envs.actions, Discrete)
    action = ((), jnp.int32) if is_discrete else ((len(envs.actions.low),), jnp.float32)
    row = lambda shape, dtype: jax.ShapeDtypeStruct((pairs, *shape), dtype)
    return {
        "view": row(envs.shape, jnp.float32),
        "action": row(*action),
        "weight": row((), jnp.float32),
    }


def imitator(cfg: Config, txs: dict[str, optax.GradientTransformation] | None = None) -> System:
    """GAIL as a System without a report, which `system` documents."""
    scene = envs, _, policy = on_policy.parts(cfg)
    refuse(cfg, envs)
    d_spec, d = discriminator.network(cfg.discriminator, envs.shape, envs.actions)
    spec = {"policy": policy.spec, "discriminator": d_spec}
    txs = txs or optimizers(cfg, spec)
    step = functools.partial(train_step, policy=policy, envs=envs, d=d, txs=txs, cfg=cfg)
    plain = dataclasses.replace(cfg, seeds=0)
    base = on_policy.system_of(plain, step, evaluate, txs["policy"].init, scene, cfg.length)

    def init_state(key):
        key_policy, key_d = jax.random.split(key)
        first, judge = base.init_state(key_policy), core_spec.init(d_spec, key_d)
        params = {"policy": first.params, "discriminator": judge}
        opt = {"policy": first.opt, "discriminator": txs["discriminator"].init(judge)}
        return State(params, opt, first.extra, first.step)

    def batches(step):
        labels = demonstrated(plain)
        rows = epochs(len(labels["weight"]), cfg.pairs, cfg.run.seed, step)
        return {name: x[rows] for name, x in labels.items()}

    return dataclasses.replace(
        base,
        spec=spec,
        init_state=init_state,
        batch=pair_shapes(envs, cfg.pairs),
        batches=batches,
        play=lambda state, key: base.play(acting(state), key),
    )


def system(cfg: Config, txs: dict[str, optax.GradientTransformation] | None = None) -> System:
    """GAIL as a System; `txs` replaces the optimisers.

    Raises UserError for an expert of another environment, for several choices per action, and for a
    stride longer than an episode.
    """
    gail = imitator(cfg, txs)
    if cfg.seeds == 0:
        return gail
    _, held_out, policy = on_policy.parts(cfg)
    require_device(held_out, cfg.seeds)
    constant = imitator(dataclasses.replace(cfg, reward="constant"), txs)
    imitators = comparison.Imitators(gail, constant, policy, cfg, cfg.stride, cfg.pairs)
    source = environments(cfg, max(cfg.compared.episodes))

    def report(state, key):
        key_compare, key_play = jax.random.split(key)
        scene = expert(algorithm(cfg.expert)), source, held_out
        result = comparison.report(imitators, cfg.compared, *scene, key_compare)
        episode = gail.play(state, key_play)[0]
        shown = {"episode.png": draw_frames(episode)} if episode.frames else {}
        return joined([result, Result({}, shown)])

    return dataclasses.replace(gail, report=report)
