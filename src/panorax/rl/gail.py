"""Generative adversarial imitation learning: a discriminator is the reward of an on-policy learner.

A discriminator D(s, a) = sigmoid(d(s, a)) separates the expert's pairs from the pairs of the
policy, and the policy maximises d by PPO:

    loss of D    - E_expert[log D] - E_pi[log(1 - D)] + penalty/2 E[|grad d|^2]
    reward       d(s, a) = log D - log(1 - D)

The best D of a policy is rho_expert / (rho_expert + rho_pi), with the visits rho of pairs; its loss
is 2 log 2 - 2 JS(rho_expert, rho_pi), so that the policy lowers the Jensen-Shannon divergence. The
penalty holds d smooth around both kinds of pairs (Mescheder et al. 2018, R1 and R2). The reward of
the paper, -log(1 - D), is positive everywhere and rewards long episodes even without an expert
(Kostrikov et al. 2019); d has both signs. The expert is trained by the same on-policy algorithm on
the true rewards, and of its episodes every `stride`-th step is kept, as in the paper.
Source: Ho & Ermon 2016, arXiv:1606.03476, algorithm 1; Fu et al. 2018, arXiv:1710.11248.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, Whole, checked
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.data.batches import epochs
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl import moments, on_policy
from panorax.rl.environments.environment import Discrete, Environments, Space
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.imitation.experts import algorithm, demonstrations, expert
from panorax.rl.imitation.report import report
from panorax.rl.on_policy import Extra, Rollouts, minibatch_updates, normalized, to_batch
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import rollout, sequences
from panorax.rl.torsos import mlp

UNITS = on_policy.UNITS | {"discriminator_loss": "nats", "reward": "nats"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    learner: str = "panorax.configs.rl.ppo:get_config"
    """config of PPO, as module:function, which trains the expert and the imitator"""
    run: Run = Run(steps=300, chunk=10)
    """number of imitating steps, seed, and intervals of evaluation and checkpoints"""
    trajectories: Count = 4
    """demonstrated episodes"""
    batch: Count = 64
    """demonstrated pairs of a step [M]"""
    stride: Count = 20
    """steps of an episode from one demonstrated pair to the next"""
    discriminator: mlp.Config = mlp.Config((64, 64), activation="tanh")
    """hidden layers of d, which sees standardised views and actions"""
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=1e6)
    """optimiser of the discriminator"""
    updates: Count = 2
    """updates of the discriminator after each rollout"""
    penalty: NonNegative = 0.1
    """weight of the squared gradient of d"""
    compared: tuple[Count, ...] = (1, 4, 16)
    """numbers of demonstrated episodes that the report compares, each a divisor of the last"""
    cloning_updates: Count = 2000
    """updates of behaviour cloning in the report"""
    cloning_rate: Positive = 1e-3
    """step size of behaviour cloning"""
    seeds: Whole = 3
    """seeds of each method and number of episodes in the report; 0 disables the report"""

    def __post_init__(self):
        if any(max(self.compared) % n for n in self.compared):
            raise ValueError(f"each of compared must divide the largest, got {self.compared}")


def network(cfg: Config, shape: tuple[int, ...], space: Space):
    """Parameters of d, and d(params, pair_BI) -> (B,)."""
    size = int(np.prod(shape)) + (space.n if isinstance(space, Discrete) else len(space.low))
    torso = mlp.torso(cfg.discriminator, (size,))
    spec = {"torso": torso.spec, "head": dense_spec(torso.width, 1, fan_in(0.1))}

    def apply(params, pair_BI):
        return dense(params["head"], torso.apply(params["torso"], pair_BI))[..., 0]

    return spec, apply


def pairs(view, action, observed: moments.Moments, space: Space) -> jax.Array:
    """Standardised views beside one-hot or continuous actions, (..., I)."""
    view = moments.standardize(view, observed)
    if isinstance(space, Discrete):
        action = jax.nn.one_hot(action, space.n)
    return jnp.concatenate([view.reshape(*action.shape[:-1], -1), action], -1)


def loss_fn(params, extra, batch, key, d: Callable, penalty: float):
    """Loss of the discriminator, as in the module's equation.

    batch: pairs "policy" (B, I) and "expert" (M, I), and "weight" (M,) of the expert's pairs.
    """
    share = batch["weight"] / jnp.maximum(jnp.sum(batch["weight"]), 1)
    d_policy, d_expert = d(params, batch["policy"]), d(params, batch["expert"])
    loss = jnp.mean(jax.nn.softplus(d_policy)) + jnp.sum(share * jax.nn.softplus(-d_expert))
    slopes = lambda x: jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(d(params, x)))(x)), -1)
    rough = jnp.mean(slopes(batch["policy"])) + jnp.sum(share * slopes(batch["expert"]))
    right = (jnp.mean(d_policy < 0) + jnp.sum(share * (d_expert > 0))) / 2
    return loss + penalty / 2 * rough, (extra, {"discriminator_loss": loss, "accuracy": right})


def train_step(
    state: State,
    batch: dict,
    key,
    policy: Policy,
    envs: Environments,
    d: Callable,
    learn: Callable,
    txs: dict[str, optax.GradientTransformation],
    learner: Rollouts,
    cfg: Config,
):
    """Algorithm 1: a rollout, updates of the discriminator, and the learner's updates on d."""
    key_rollout, key_d, *keys = jax.random.split(key, 4)
    params, opt, extra = dict(state.params), dict(state.opt), state.extra
    act = on_policy.sampler(state.replace(params=params["policy"]), policy, learner)
    running, steps = rollout(act, envs, extra.running, key_rollout, learner.length)
    observed = moments.merge(extra.observed, steps.observation.view)
    seen = pairs(steps.observation.view, steps.action, observed, envs.actions)
    shown = pairs(batch["view"], batch["action"], observed, envs.actions)
    examples = {"policy": seen.reshape(-1, seen.shape[-1]), "expert": shown}
    examples["weight"] = batch["weight"]

    def separate(carry, key):
        loss = functools.partial(loss_fn, d=d, penalty=cfg.penalty)
        *carry, _, metrics = update(loss, txs["discriminator"], *carry, (), examples, key)
        return tuple(carry), metrics

    judge = params["discriminator"], opt["discriminator"]
    judge, found = jax.lax.scan(separate, judge, jax.random.split(key_d, cfg.updates))
    params["discriminator"], opt["discriminator"] = judge
    reward = d(params["discriminator"], seen)
    imitated = normalized(steps.replace(reward=reward), extra.observed, learner)
    data = sequences(to_batch(params["policy"], imitated, policy, learner), policy.span)
    params["policy"], opt["policy"], metrics = learn(params["policy"], opt["policy"], data, keys)
    metrics |= episode_metrics(running.episodes) | {"reward": jnp.mean(reward)}
    metrics |= {name: jnp.mean(found[name]) for name in ("discriminator_loss", "accuracy")}
    return State(params, opt, Extra(running, observed), state.step + 1), metrics


def evaluate(state: State, batch, key, base: System):
    """Mean undiscounted return and length under the true rewards and the mode of the policy."""
    return base.evaluate(state.replace(params=state.params["policy"]), (), key)


def system(cfg: Config) -> System:
    """GAIL as a System.

    Raises UserError for a learner other than PPO, and for a stride longer than an episode.
    """
    original = algorithm(cfg.learner)
    if not hasattr(original, "minibatches"):
        raise UserError(f"the learner is PPO, and {cfg.learner} configures another algorithm")
    learner = dataclasses.replace(original, run=cfg.run, seeds=0)
    module = module_of(learner)
    envs, held_out, policy = on_policy.parts(learner)
    if cfg.stride > envs.max_steps:
        raise UserError(f"a stride of {cfg.stride} is longer than an episode, {envs.max_steps}")
    d_spec, d = network(cfg, envs.shape, envs.actions)
    spec = {"policy": policy.spec, "discriminator": d_spec}
    updates = cfg.run.steps * learner.epochs * learner.minibatches
    txs = {
        "policy": optimizer(learner.optim, updates, policy.spec),
        "discriminator": optimizer(cfg.optim, cfg.run.steps * cfg.updates, d_spec),
    }
    base = module.system(learner, tx=txs["policy"])
    make = functools.partial(module_of(learner.environment).environments, learner.environment)
    loss = functools.partial(module.loss_fn, policy=policy, cfg=learner)

    def learn(params, opt, examples, keys):
        sizes = learner.epochs, learner.minibatches
        return minibatch_updates(loss, txs["policy"], params, opt, examples, keys, *sizes)

    def init_state(key):
        key_policy, key_d = jax.random.split(key)
        first, d_params = base.init_state(key_policy), core_spec.init(d_spec, key_d)
        return State(
            {"policy": first.params, "discriminator": d_params},
            {"policy": first.opt, "discriminator": txs["discriminator"].init(d_params)},
            first.extra,
            first.step,
        )

    @functools.cache
    def data():
        key = jax.random.fold_in(jax.random.key(cfg.run.seed), 1)
        teacher, shown = expert(original), make(cfg.trajectories)
        draw = jax.jit(lambda key: demonstrations(teacher, shown, (), key, cfg.stride))
        return jax.device_get(draw(key))._asdict()

    def batches(step):
        rows = epochs(len(data()["weight"]), cfg.batch, cfg.run.seed, step)
        return {name: x[rows] for name, x in data().items()}

    is_discrete = isinstance(envs.actions, Discrete)
    action = ((), jnp.int32) if is_discrete else ((len(envs.actions.low),), jnp.float32)
    row = lambda shape, dtype: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)
    parts = {"policy": policy, "envs": envs, "d": d, "learn": learn, "txs": txs}
    imitation = dataclasses.replace(
        base,
        spec=spec,
        init_state=init_state,
        train_step=functools.partial(train_step, **parts, learner=learner, cfg=cfg),
        evaluate=functools.partial(evaluate, base=base),
        batch={
            "view": row(envs.shape, jnp.float32),
            "action": row(*action),
            "weight": row((), jnp.float32),
        },
        batches=batches,
        play=lambda state, key: base.play(state.replace(params=state.params["policy"]), key),
    )
    if cfg.seeds == 0:
        return imitation
    compare = functools.partial(report, imitation, policy, held_out, make, original, cfg)
    return dataclasses.replace(imitation, report=lambda state, key: compare(key))
