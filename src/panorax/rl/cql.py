"""Conservative Q-learning with discrete actions (Kumar et al. 2020, arXiv:2006.04779).

Q is trained on transitions (s, a, r, s') of other agents, without any step of its own. The
transitions come from an agent of this library, an npz file, or a data set of Minari
(`panorax.rl.offline.recorded`):

    L = w E[huber(Q(s, a) - y)] + alpha E[log sum_a' exp Q(s, a') - Q(s, a)]
    y = r + discount * (1 - terminated) * Q'(s', argmax_a' Q(s', a'))

The second term lowers Q at actions that the data does not contain. The target network Q' follows by
Polyak averaging. alpha = 0 is offline double DQN, which overestimates unseen actions. The second
term is the cross entropy of softmax(Q), so w = 0 is behaviour cloning.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import (
    Count,
    DecayRate,
    NonNegative,
    Positive,
    PositiveShare,
    Whole,
    checked,
)
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.data.batches import epochs
from panorax.ops.losses import cross_entropy
from panorax.rl.actor_critic import acting, follow
from panorax.rl.evaluation import evaluated_episodes
from panorax.rl.offline import agents, dataset, recorded, stitching
from panorax.rl.offline.report import report
from panorax.rl.play import SHOWN, player
from panorax.rl.q_values.networks import Mean, q_network
from panorax.rl.rollout import Act
from panorax.rl.seeds import require_device
from panorax.rl.torsos import mlp

UNITS = {"return": "sum of rewards", "length": "steps", "cloning_loss": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """Symbols of the paper are in brackets."""

    data: agents.Config | recorded.Config | stitching.Config = agents.Config()
    """transitions, from an agent or a file, and the environment of the evaluation"""
    torso: mlp.Config = mlp.Config((128, 128))
    """hidden layers of Q"""
    optim: Optimizer = AdamW(peak_lr=1e-3, b2=0.999, clip=1e6)
    """optimiser of Q; with a constant learning rate the greedy policy would not settle"""
    run: Run = Run(steps=5000, chunk=100)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 128
    """transitions of a step [B]"""
    alpha: NonNegative = 0.5
    """weight of the conservative term; 0 is offline double DQN [alpha]"""
    td_weight: NonNegative = 1.0
    """weight of the TD error; 0 is behaviour cloning [w]"""
    reward_scale: Positive = 0.1
    """factor on the rewards in training, so that the conservative term has a known size"""
    discount: DecayRate = 0.97
    """discount per step [gamma]"""
    polyak: PositiveShare = 0.01
    """step of target parameters towards the parameters [tau]"""
    eval_episodes: Count = 500
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds for each of CQL, DQN and cloning that the report trains; 0 disables the report"""


@struct.dataclass
class Extra:
    """State besides the parameters."""

    target: object
    """parameters of the target network"""


def loss_fn(params, extra: Extra, batch, key, q: Callable, cfg: Config):
    """L above. Metrics compare Q at actions of the data with the largest Q at other actions.

    q: q(params, view_B) -> Q(s, .), (B, A).
    """
    action_B = batch["action"]
    q_BA = q(params, batch["view"])
    at = lambda q_BA, action_B: jnp.take_along_axis(q_BA, action_B[:, None], 1)[:, 0]
    best_B = jnp.argmax(q(params, batch["next_view"]), -1)
    next_B = at(q(extra.target, batch["next_view"]), best_B)
    bootstrap_B = cfg.discount * jnp.where(batch["terminated"], 0, next_B)
    target_B = jax.lax.stop_gradient(cfg.reward_scale * batch["reward"] + bootstrap_B)
    td_loss = jnp.mean(optax.huber_loss(at(q_BA, action_B), target_B))
    cloning_loss = jnp.mean(cross_entropy(q_BA, action_B))
    is_taken = jax.nn.one_hot(action_B, q_BA.shape[1], dtype=bool)
    metrics = {
        "td_loss": td_loss,
        "cloning_loss": cloning_loss,
        "q_of_data": jnp.mean(at(q_BA, action_B)) / cfg.reward_scale,
        "q_of_unseen": jnp.mean(jnp.max(jnp.where(is_taken, -jnp.inf, q_BA), 1)) / cfg.reward_scale,
    }
    return cfg.td_weight * td_loss + cfg.alpha * cloning_loss, (extra, metrics)


def train_step(state: State, batch, key, q: Callable, tx, cfg: Config):
    """One update of Q, then of the target network."""
    loss = functools.partial(loss_fn, q=q, cfg=cfg)
    params, opt, extra, metrics = update(loss, tx, state.params, state.opt, state.extra, batch, key)
    target = follow(extra.target, params, cfg.polyak)
    return State(params, opt, Extra(target), state.step + 1), metrics


def greedy(state: State, q: Callable) -> Act:
    """The policy argmax_a Q(s, a)."""
    return acting(lambda view, key: jnp.argmax(q(state.params, view), -1))


def evaluate(state: State, batch, key, q: Callable, envs):
    """Mean return and length of the greedy policy."""
    return evaluated_episodes(greedy(state, q), envs, (), key)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """CQL as a System; `tx` replaces the optimiser."""
    source = module_of(cfg.data)
    envs = source.environments(cfg.data, cfg.eval_episodes)
    network = q_network(cfg.torso, envs.shape, envs.actions, False, Mean())
    q = lambda params, view: network.values(network.apply(params, view))
    tx = tx or optimizer(cfg.optim, cfg.run.steps, network.spec)
    data = functools.cache(lambda: dataset.fitting(source.dataset(cfg.data), envs))

    def batches(step):
        rows = epochs(len(data()["action"]), cfg.batch, cfg.run.seed, step)
        return {name: data()[name][rows] for name in dataset.TRAINED}

    def init_state(key):
        params = core_spec.init(network.spec, key)
        return first_state(params, tx, Extra(jax.tree.map(jnp.copy, params)))

    rows = lambda dtype, *shape: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)
    shapes = {"view": envs.shape, "next_view": envs.shape}
    cql = System(
        spec=network.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, q=q, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, q=q, envs=envs),
        batch={name: rows(dataset.KINDS[name], *shapes.get(name, ())) for name in dataset.TRAINED},
        batches=batches,
        extra_axes=Extra(core_spec.axes(network.spec)),
        per_step={"examples": cfg.batch},
        on_host=envs.on_host,
        play=player(functools.partial(greedy, q=q), source.environments(cfg.data, SHOWN)),
    )
    if cfg.seeds == 0:
        return cql
    require_device(envs, cfg.seeds)
    variants = {
        name: system(dataclasses.replace(cfg, seeds=0, **changes))
        for name, changes in (
            ("cql", {}),
            ("dqn", {"alpha": 0.0}),
            ("bc", {"td_weight": 0.0, "alpha": 1.0}),
        )
    }
    compare = functools.partial(report, variants, data, cfg.run, cfg.batch, cfg.seeds)
    return dataclasses.replace(cql, report=lambda state, key: compare())
