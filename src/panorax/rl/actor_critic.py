"""Parts of off-policy actor-critic methods with continuous actions: SAC and TD3.

An actor acts in N environments, whose transitions (s, a, r, s') enter a replay. Two critics learn
from batches of the replay by one-step TD with one target:

    J_Q = sum_i E[1/2 (Q_i(s, a) - y)^2],    y = r + discount * (1 - terminated) * V(s')

Each method defines V by the smaller of two target critics (clipped double Q-learning). The
parameters of target networks follow by Polyak averaging, target <- target + tau (params - target).
The replay and the environments are part of the state: training is a pure function.
Source: Fujimoto et al. 2018, arXiv:1802.09477; Haarnoja et al. 2018, arXiv:1812.05905.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, DecayRate, PositiveShare, Whole, checked
from panorax.core.state import State, System
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl.environments import from_gymnasium, from_gymnax, probes
from panorax.rl.environments.environment import Box, Environments, Space
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.play import SHOWN, player
from panorax.rl.replay import uniform
from panorax.rl.replay.experience import Transition, collect, first_experience, row
from panorax.rl.replay.uniform import Replay
from panorax.rl.rollout import Act, Running
from panorax.rl.seeds import random_actions, report_of
from panorax.rl.torsos import mlp

Optimizers = dict[str, optax.GradientTransformation]  # keys "critics" and "policy"


@checked
class OffPolicy:
    """Options of all off-policy actor-critic methods."""

    environment: from_gymnax.Config | from_gymnasium.Config | probes.Config = from_gymnax.Config(
        "Pendulum-v1"
    )
    """environment to act in"""
    actor: mlp.Config = mlp.Config((256, 256))
    """hidden layers of the actor"""
    critic: mlp.Config = mlp.Config((256, 256))
    """hidden layers of each critic, which sees the view and the action"""
    optim: Optimizer = AdamW(peak_lr=3e-4, schedule="constant", b2=0.999, clip=1e6)
    """optimiser of the critics, and another of the actor"""
    run: Run = Run(steps=2500, chunk=50)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 8
    """environments stepped together [N]"""
    length: Count = 1
    """steps in each environment per training step"""
    updates: Count = 8
    """updates per training step; N length of them are one update per environment step"""
    batch: Count = 256
    """transitions of an update [B]"""
    capacity: Count = 100_000
    """largest number of transitions in the replay"""
    random_steps: Count = 1000
    """environment steps with random actions before the first training step"""
    discount: DecayRate = 0.99
    """discount per step, below 1 because values are bootstrapped at time limits [gamma]"""
    polyak: PositiveShare = 0.005
    """step of target parameters towards the parameters; 1 copies them [tau]"""
    eval_episodes: Count = 100
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the final report trains in parallel; 0 disables the report"""

    def __post_init__(self):
        if self.capacity < max(self.batch, self.random_steps):
            raise ValueError(
                f"a replay of {self.capacity} transitions is smaller than a batch of {self.batch} "
                f"or the {self.random_steps} random steps"
            )
        if self.capacity % self.collected:
            raise ValueError(
                f"a replay of {self.capacity} transitions is no multiple of the {self.n_envs} "
                f"environments x {self.length} steps that enter it together"
            )

    @property
    def collected(self) -> int:
        """Transitions that enter the replay together [N length]."""
        return self.n_envs * self.length

    @property
    def rollouts_before(self) -> int:
        """Rollouts of random actions before the first training step."""
        return -(-self.random_steps // self.collected)


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments"""
    replay: Replay
    """transitions"""
    target: Any
    """parameters of the target networks"""


@dataclasses.dataclass(frozen=True)
class Networks:
    """An actor and two critics for one shape of views and K actions."""

    spec: Any
    """parameters, {"actor": tree of P, "critics": (tree of P, tree of P)}"""
    actor: Callable
    """actor(params["actor"], view_B) -> (B, outputs)"""
    critics: Callable
    """critics(params["critics"], view_B, action_BK) -> Q_1 and Q_2, (2, B)"""


def networks(cfg: OffPolicy, shape: tuple[int, ...], K: int, outputs: int) -> Networks:
    """Networks for views of `shape`. The last layer of the actor is small at first."""
    actor = mlp.torso(cfg.actor, shape)
    critic = mlp.torso(cfg.critic, (math.prod(shape) + K,))
    with_head = lambda torso, outputs, gain: {
        "torso": torso.spec,
        "head": dense_spec(torso.width, outputs, fan_in(gain)),
    }

    def act(params, view_B):
        return dense(params["head"], actor.apply(params["torso"], view_B))

    def value(params, x_BI):
        return dense(params["head"], critic.apply(params["torso"], x_BI))[..., 0]

    def critics(params, view_B, action_BK):
        x_BI = jnp.concatenate([view_B.reshape(len(action_BK), -1), action_BK], -1)
        return jnp.stack([value(p, x_BI) for p in params])

    critic_spec = with_head(critic, 1, 1.0)
    spec = {"actor": with_head(actor, outputs, 0.01), "critics": (critic_spec, critic_spec)}
    return Networks(spec, act, critics)


def actions_of(space: Space) -> int:
    """Number of action dimensions [K]. Raises UserError for an action space other than [-1, 1]^K.

    The environments of `panorax.rl.environments` map every box with finite bounds to this cube.
    """
    if not isinstance(space, Box):
        raise UserError(f"the actor needs continuous actions, and the environment has {space}")
    if {*space.low} != {-1.0} or {*space.high} != {1.0}:
        raise UserError(
            f"the actor needs actions with finite bounds, and the environment has {space}"
        )
    return len(space.low)


def acting(choose: Callable) -> Act:
    """A policy without memory as an `Act` function; choose(view_N, key) returns actions."""
    return lambda memory, observation, first, key: (memory, choose(observation.view, key))


def experience(envs: Environments, cfg: OffPolicy, key: jax.Array) -> tuple[Running, Replay]:
    """Environments and replay after the random steps."""
    empty = lambda seen: uniform.empty(row(envs, seen), cfg.capacity // envs.n)
    act, n = random_actions(envs), cfg.rollouts_before
    return first_experience(act, envs, empty, uniform.add, key, n, cfg.length)


def train(
    state: State,
    key: jax.Array,
    choose: Callable,
    learn: Callable,
    envs: Environments,
    cfg: OffPolicy,
    leading: tuple[int, ...],
) -> tuple[State, dict[str, jax.Array]]:
    """A training step: steps in the environments, then updates on batches of the replay.

    choose: choose(view_N, key) returns actions.
    learn: learn(learner, batch, key) -> (learner, metrics of the critics, metrics of the actor),
    called for each batch; a learner is (params, opt, target).
    leading: number of batches, and axes of a batch before B.
    """
    key_act, key_draw, key_learn = jax.random.split(key, 3)
    extra: Extra = state.extra
    running, memory = collect(
        acting(choose), envs, extra.running, extra.replay, uniform.add, key_act, cfg.length
    )
    rows = uniform.draw(memory, key_draw, math.prod(leading) * cfg.batch)
    rows = jax.tree.map(lambda x: split_batch(x[:, 0]), rows)
    batches = jax.tree.map(lambda x: x.reshape(*leading, cfg.batch, *x.shape[1:]), rows)

    def body(learner, inputs):
        learner, critics, actor = learn(learner, *inputs)
        return learner, (critics, actor)

    (params, opt, target), metrics = jax.lax.scan(
        body,
        (state.params, state.opt, extra.target),
        (batches, jax.random.split(key_learn, leading[0])),
    )
    metrics = step_metrics(*metrics) | episode_metrics(running.episodes)
    return State(params, opt, Extra(running, memory, target), state.step + 1), metrics


def td_loss(q_2B: jax.Array, batch: Transition, next_value_B: jax.Array, discount: float):
    """J_Q, and the mean of both critics as a metric."""
    target_B = batch.reward + discount * jnp.where(batch.terminated, 0, next_value_B)
    loss = 0.5 * jnp.sum(jnp.mean(jnp.square(q_2B - target_B[None]), 1))
    return loss, {"q": jnp.mean(q_2B)}


def follow(target, params, polyak: float):
    """target + polyak * (params - target)."""
    return jax.tree.map(lambda slow, fast: slow + polyak * (fast - slow), target, params)


def step_metrics(critics: dict, actor: dict) -> dict:
    """Metrics of a step, means over its updates of the critics and of the actor."""
    critics, actor = jax.tree.map(jnp.mean, (critics, actor))
    named = {"critic_loss": critics.pop("loss"), "actor_loss": actor.pop("loss")}
    norm = jnp.hypot(critics.pop("grad_norm"), actor.pop("grad_norm"))
    loss = named["critic_loss"] + named["actor_loss"]
    return {"loss": loss, "grad_norm": norm} | named | critics | actor


def spaces(cfg: OffPolicy) -> tuple[tuple[int, ...], int]:
    """Shape of a view, and number of action dimensions."""
    envs = module_of(cfg.environment).environments(cfg.environment, 1)
    return envs.shape, actions_of(envs.actions)


def system_of(
    cfg: OffPolicy,
    spec,
    train_step: Callable,
    evaluate: Callable,
    best: Callable,
    target_of: Callable,
    txs: Optimizers | None,
) -> System:
    """The System of a method, with a report over seeds unless `cfg.seeds` is 0.

    spec: parameters with the keys "critics" and "policy".
    train_step, evaluate: functions of the method. Both receive `envs` and `cfg`, and train_step
    receives `txs`.
    best: best(state) -> Act, the policy without exploration, which the report shows.
    target_of: parameters, or their spec, to the part that has target networks.
    txs: replaces the optimisers.
    """
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    updates = cfg.run.steps * cfg.updates
    txs = txs or {name: optimizer(cfg.optim, updates, spec[name]) for name in spec}

    def init_state(key):
        key_params, key_envs = jax.random.split(key)
        params = core_spec.init(spec, key_params)
        opt = {name: tx.init(params[name]) for name, tx in txs.items()}
        target = jax.tree.map(jnp.copy, target_of(params))
        return State(params, opt, Extra(*experience(envs, cfg, key_envs), target), jnp.int32(0))

    method = System(
        spec=spec,
        init_state=init_state,
        train_step=functools.partial(train_step, envs=envs, txs=txs, cfg=cfg),
        evaluate=functools.partial(evaluate, envs=held_out, cfg=cfg),
        extra_axes=Extra(
            running=("batch",),
            replay=Replay(rows=("batch",), head=None, filled=None),
            target=core_spec.axes(target_of(spec)),
        ),
        per_step={"environment_steps": cfg.collected},
        on_host=envs.on_host,
        play=player(best, make(cfg.environment, SHOWN)),
    )
    if cfg.seeds == 0:
        return method
    before = cfg.collected * cfg.rollouts_before
    report = report_of(method, cfg.run, cfg.seeds, held_out, before=before)
    return dataclasses.replace(method, report=report)
