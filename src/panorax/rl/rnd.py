"""Random network distillation: an exploration bonus from the error of a predictor, on PPO.

The intrinsic reward is the bonus of `panorax.rl.exploration.novelty`. Each reward has a critic and
a discount of its own. Intrinsic returns go on over the ends of episodes: the end of an episode must
not cost the agent the novelty of the next one. PPO's clipped loss gets the advantage

    A = w_E A_E + w_I A_I.

On DeepSea, the report trains on several sizes, with the bonus and without it (w_I = 0).
Source: Burda et al. 2018, arXiv:1810.12894; Schulman et al. 2017, arXiv:1707.06347 (PPO).
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import module_of
from panorax.core.optim import optimizer
from panorax.core.ranges import Count, DecayRate, NonNegative, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.study import joined
from panorax.nets import mlp as perceptrons
from panorax.ops.returns import gae
from panorax.rl import moments, on_policy
from panorax.rl.environments import deep_sea
from panorax.rl.environments.environment import Environments
from panorax.rl.exploration import novelty, solving
from panorax.rl.on_policy import (
    Batch,
    Clipped,
    after_rollout,
    clipped_loss,
    minibatch_updates,
    normalized,
    sampler,
)
from panorax.rl.play import SHOWN, draw_frames, player
from panorax.rl.policies import mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import rollout, sequences, start
from panorax.rl.seeds import report_of, train_seeds

UNITS = on_policy.UNITS | {"entropy": "nats", "approx_kl": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config(Clipped):
    """Symbols of the module's equations are in brackets."""

    policy: mlp.Config = mlp.Config()
    """networks of the actor and the extrinsic critic; the intrinsic critic is like the latter"""
    features: Count = 32
    """outputs of the random and the trained network [K]"""
    width: Count = 64
    """hidden units of the random and the trained network"""
    extrinsic_weight: NonNegative = 2.0
    """weight of the extrinsic advantage [w_E]"""
    intrinsic_weight: NonNegative = 1.0
    """weight of the intrinsic advantage [w_I]; 0 is PPO"""
    intrinsic_discount: DecayRate = 0.99
    """discount per step of the intrinsic return"""
    sizes: tuple[Count, ...] = (10, 14, 20, 30)
    """sizes of DeepSea that the report trains on"""


@struct.dataclass
class Extra:
    """State besides the parameters."""

    acting: on_policy.Extra
    """environments, and moments of observations"""
    novelty: novelty.Novelty
    """random network, and scale of the bonus"""


@struct.dataclass
class Examples:
    """Training examples; all leaves are (B, 1, ...)."""

    acting: Batch
    """examples of PPO, with the extrinsic advantages and values"""
    view: jax.Array
    """standardised observation after the step [x]"""
    value: jax.Array
    """value of the intrinsic critic"""
    advantage: jax.Array
    """intrinsic advantage [A_I]"""


def spec(cfg: Config, policy: Policy, shape: tuple[int, ...]):
    """Parameters of the policy, of the intrinsic critic, and of the predictor."""
    return {
        "policy": policy.spec,
        "critic": perceptrons.spec((math.prod(shape), *cfg.policy.hidden, 1)),
        "predictor": novelty.feature_spec(shape, cfg.width, cfg.features),
    }


def acting(state: State) -> State:
    """The state as an on-policy algorithm without a bonus has it."""
    return state.replace(params=state.params["policy"], extra=state.extra.acting)


def intrinsic_value(params, view_BT: jax.Array) -> jax.Array:
    """Value of the intrinsic critic at views (B, T, ...)."""
    x = view_BT.reshape(*view_BT.shape[:2], -1)
    return perceptrons.perceptron(params["critic"], x)[..., 0]


def intrinsic_advantages(params, view: jax.Array, last: jax.Array, reward: jax.Array, cfg: Config):
    """(values, advantages) of the intrinsic stream, which no end of an episode interrupts.

    view, last: views (T, N, ...) before the steps, and (N, ...) after the last one.
    """
    value = intrinsic_value(params, jnp.concatenate([view, last[None]]))
    never = jnp.zeros_like(reward, bool)
    rates = cfg.intrinsic_discount, cfg.gae_lambda
    return value[:-1], gae(reward, value[:-1], value[1:], never, never, *rates)


def loss_fn(params, extra, batch: Examples, key, target, policy: Policy, cfg: Config):
    """PPO's loss with both advantages, plus the errors of the intrinsic critic and the predictor.

    target: parameters of the random network.
    """
    pi, value = on_policy.apply(params["policy"], batch.acting, policy)
    A = cfg.extrinsic_weight * batch.acting.advantage + cfg.intrinsic_weight * batch.advantage
    loss, metrics = clipped_loss(pi, value, batch.acting, A, cfg)
    value = intrinsic_value(params, batch.acting.observation.view)
    intrinsic = jnp.mean(jnp.square(value - batch.value - batch.advantage))
    distillation = jnp.mean(novelty.prediction_error(params["predictor"], target, batch.view))
    metrics |= {"intrinsic_value_loss": intrinsic, "distillation_loss": distillation}
    return loss + cfg.value_weight * intrinsic + distillation, (extra, metrics)


def train_step(
    state: State,
    batch,
    key,
    policy: Policy,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """A rollout with its two rewards, then epochs of minibatches."""
    key_rollout, *keys = jax.random.split(key, 3)
    params, before = state.params, acting(state)
    act = sampler(before, policy, cfg)
    running, trajectory = rollout(act, envs, before.extra.running, key_rollout, cfg.length)
    after, data, metrics = after_rollout(before, running, trajectory, policy, cfg)
    view = moments.standardize(trajectory.next_observation.view, after.observed, novelty.BOUND)
    bonus, reward = novelty.rewards(
        state.extra.novelty, params["predictor"], view, cfg.intrinsic_discount
    )
    last = normalized(running.observation, before.extra.observed, cfg).view
    streams = intrinsic_advantages(params, data.observation.view, last, reward, cfg)
    examples = sequences(Examples(data, view, *streams), 1)
    loss = functools.partial(loss_fn, target=bonus.target, policy=policy, cfg=cfg)
    params, opt, losses = minibatch_updates(
        loss, tx, params, state.opt, examples, keys, cfg.epochs, cfg.minibatches
    )
    metrics |= losses | {"intrinsic_reward": jnp.mean(reward)}
    return State(params, opt, Extra(after, bonus), state.step + 1), metrics


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Config):
    """Mean undiscounted return and length of `envs.n` episodes under the mode of the policy."""
    return on_policy.evaluate(acting(state), batch, key, policy, envs, cfg)


def best(state: State, policy: Policy, cfg: Config):
    """The mode of the policy of `state` as an `Act` function."""
    return on_policy.best(acting(state), policy, cfg)


def trained_returns(key: jax.Array, cfg: Config, size: int, with_bonus: bool):
    """Returns of all seeds on DeepSea of one size, (seeds, chunks), and episodes, (chunks,).

    Rollouts are one episode long.
    """
    scene = dataclasses.replace(cfg.environment, size=size)
    weight = cfg.intrinsic_weight if with_bonus else 0.0
    changes = {"environment": scene, "length": size, "intrinsic_weight": weight}
    sized = dataclasses.replace(cfg, seeds=0, **changes)
    curves, _ = train_seeds(system(sized), cfg.run, jax.random.split(key, cfg.seeds))
    return curves.values["return"], curves.steps / size


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PPO with the bonus as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment.
    """
    envs, held_out, policy = on_policy.parts(cfg)
    whole = spec(cfg, policy, envs.shape)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, whole)

    def init_state(key):
        key_params, key_target, key_envs = jax.random.split(key, 3)
        running = start(envs, policy.empty_memory(envs.n), key_envs)
        bonus = novelty.initial(key_target, envs.n, whole["predictor"])
        extra = Extra(on_policy.Extra(running, moments.initial(envs.shape)), bonus)
        return first_state(core_spec.init(whole, key_params), tx, extra)

    shown = module_of(cfg.environment).environments(cfg.environment, SHOWN)
    plain = System(
        spec=whole,
        init_state=init_state,
        train_step=functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, policy=policy, envs=held_out, cfg=cfg),
        extra_axes=Extra(
            acting=on_policy.Extra(running=("batch",), observed=None),
            novelty=novelty.Novelty(target=None, returns=moments.Returns(("batch",), None)),
        ),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        on_host=envs.on_host,
        play=player(functools.partial(best, policy=policy, cfg=cfg), shown, policy.empty_memory),
    )
    if cfg.seeds == 0:
        return plain
    if not isinstance(cfg.environment, deep_sea.Config):
        return dataclasses.replace(plain, report=report_of(plain, cfg.run, cfg.seeds, held_out))

    def report(state, key):
        key_sizes, key_play = jax.random.split(key)
        solved = solving.report(functools.partial(trained_returns, cfg=cfg), cfg.sizes, key_sizes)
        episode = plain.play(state, key_play)[0]
        return joined([solved, Result({}, {"episode.png": draw_frames(episode)})])

    return dataclasses.replace(plain, report=report)
