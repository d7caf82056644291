"""Decision Transformer: a sequence model acts for the return that it is asked for.

A causal Transformer (`panorax.rl.offline.sequence_model`) reads the last K steps of an episode,

    R_1, s_1, a_1, R_2, s_2, a_2, .., R_K, s_K

with the return-to-go R_t = r_t + r_{t+1} + .. of each step, and predicts the action a_K. Training
minimises the cross entropy of the actions of offline data, without bootstrapping: gradients flow
through the Transformer, and neither values nor policy gradients are computed. To act, R_1 is the
return that is asked for, and each reward is subtracted from it: the model imitates the episodes of
the data whose returns it is asked for.
Source: Chen et al. 2021, arXiv:2106.01345.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.core.study import joined
from panorax.data.batches import epochs
from panorax.nets.decoders import llama
from panorax.ops.losses import cross_entropy, weighted_mean
from panorax.rl.environments.environment import Discrete, Environments, Space
from panorax.rl.environments.rewards import observed_reward
from panorax.rl.offline import agents, conditioning, dataset, recorded, stitching
from panorax.rl.offline.cloning import Config as Cloning
from panorax.rl.offline.cloning import cloned_returns
from panorax.rl.offline.sequence_model import conditioned, memory, sequence_model
from panorax.rl.offline.training import train_seeds
from panorax.rl.offline.trajectories import Trajectories, best, trajectories, windows
from panorax.rl.play import SHOWN, player
from panorax.rl.rollout import first_episodes
from panorax.rl.seeds import require_device

UNITS = {"return": "sum of rewards", "loss": "nats per action"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """Symbols of the paper are in brackets."""

    data: agents.Config | recorded.Config | stitching.Config = agents.Config("mixed")
    """transitions, from agents or a file, and the environment of the evaluation"""
    model: llama.Model = llama.Model(5, 32, 2, 2, 2, 64, tied=False)
    """Transformer; its vocabulary is the set of actions"""
    optim: Optimizer = AdamW(peak_lr=5e-3, warmup=100, weight_decay=1e-4)
    """optimiser of all parameters"""
    run: Run = Run(steps=3000, chunk=50)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 64
    """windows of a step [B]"""
    context: Count = 4
    """steps of a window, three tokens each [K]"""
    return_scale: Positive = 1000.0
    """unit of returns-to-go at the input of the network"""
    targets: tuple[float, ...] = (-1300, -1100, -900, -700, -500, -300)
    """returns asked for, in increasing order; the last one is asked for in play"""
    eval_episodes: Count = 40
    """evaluated episodes for each target, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the report trains, beside as many of behaviour cloning; 0 disables the report"""
    cloning: Cloning = Cloning()
    """behaviour cloning that the report trains on the same data"""

    def __post_init__(self):
        if len(self.targets) < 2 or any(np.diff(self.targets) <= 0):
            raise ValueError(f"targets must be at least two increasing returns, got {self.targets}")


def implied(cfg: Config) -> dict[str, int]:
    """The vocabulary of the model, which is the set of actions of the environment."""
    return {"model.vocab": actions_of(module_of(cfg.data).environments(cfg.data, 1).actions)}


def actions_of(space: Space) -> int:
    """The number of actions. Raises UserError for an action space that is not Discrete."""
    if not isinstance(space, Discrete):
        raise UserError(
            "the Decision Transformer predicts one of a finite number of actions; this "
            f"environment has {space}"
        )
    return space.n


def loss_fn(params, extra, batch, key, net: Net):
    """Mean cross entropy of the actions of all windows, in nats."""
    logits_BKA, extra = net.apply(params, extra, batch, key=key, train=True)
    loss_BK = cross_entropy(logits_BKA, batch["action"])
    is_right_BK = jnp.argmax(logits_BKA, -1) == batch["action"]
    metrics = {"accuracy": weighted_mean(is_right_BK, batch["mask"])}
    return weighted_mean(loss_BK, batch["mask"]), (extra, metrics)


def train_step(state: State, batch, key, net: Net, tx: optax.GradientTransformation):
    """One update."""
    loss = functools.partial(loss_fn, net=net)
    params, opt, extra, metrics = update(loss, tx, state.params, state.opt, state.extra, batch, key)
    return State(params, opt, extra, state.step + 1), metrics


def returns(params, key, net: Net, envs: Environments, shape: tuple[int, ...], cfg: Config):
    """Mean returns of the episodes in `envs`, equally many for each of the targets."""
    per_target = envs.n // len(cfg.targets)
    target_N = jnp.repeat(jnp.array(cfg.targets, jnp.float32), per_target)
    act, empty = conditioned(params, net, shape), memory(target_N, shape, cfg.context)
    return_N, _ = first_episodes(act, envs, empty, key)
    return jnp.mean(return_N.reshape(-1, per_target), 1)


def evaluate(state: State, batch, key, returns: Callable, targets: tuple[float, ...]):
    """Mean return for the highest target, and mean distance of returns from their targets."""
    reached = returns(state.params, key)
    distance = jnp.abs(reached - jnp.array(targets, jnp.float32))
    return {"eval_return": (reached[-1], 1), "eval_distance": (jnp.sum(distance), len(targets))}


def play(state: State, key, net: Net, shape: tuple[int, ...], cfg: Config):
    """Episodes for the highest target, as `System.play`."""
    target_N = jnp.full(SHOWN, cfg.targets[-1], jnp.float32)
    shown = observed_reward(module_of(cfg.data).environments(cfg.data, SHOWN))
    act = lambda state: conditioned(state.params, net, shape)
    return player(act, shown, lambda n: memory(target_N, shape, cfg.context))(state, key)


def episodes_within(data: dataset.Dataset, most: int) -> Trajectories:
    """The finished episodes of the data. Raises UserError if one has more than `most` steps."""
    steps = trajectories(data)
    if steps.timestep.max() >= most:
        raise UserError(
            f"the offline data has an episode of {steps.timestep.max() + 1} steps; an episode "
            f"of the environment has at most {most}"
        )
    return steps


def system(cfg: Config, net: Net | None = None, tx=None) -> System:
    """A Decision Transformer; `net` replaces the network and `tx` the optimiser.

    Raises UserError for an environment without discrete actions, and for a model whose vocabulary
    is not their number.
    """
    source, K = module_of(cfg.data), cfg.context
    plain = source.environments(cfg.data, cfg.eval_episodes * len(cfg.targets))
    envs, shape = observed_reward(plain), plain.shape
    if cfg.model.vocab != (n := actions_of(envs.actions)):
        raise UserError(f"model.vocab {cfg.model.vocab} must be the {n} actions of the environment")
    net = net or sequence_model(cfg.model, shape, envs.max_steps, cfg.return_scale)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)
    reached = functools.partial(returns, net=net, envs=envs, shape=shape, cfg=cfg)

    @functools.cache
    def data() -> dataset.Dataset:
        return dataset.fitting(source.dataset(cfg.data), plain)

    @functools.cache
    def steps() -> Trajectories:
        return episodes_within(data(), envs.max_steps)

    def init_state(key):
        params, extra = net.init(key)
        return first_state(params, tx, extra)

    transformer = System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, net=net, tx=tx),
        evaluate=functools.partial(evaluate, returns=reached, targets=cfg.targets),
        batch=jax.eval_shape(lambda: memory(jnp.zeros(cfg.batch), shape, K)).window,
        batches=lambda step: windows(
            steps(), epochs(len(steps().action), cfg.batch, cfg.run.seed, step), K
        ),
        per_step={"examples": cfg.batch},
        on_host=envs.on_host,
        play=functools.partial(play, net=net, shape=shape, cfg=cfg),
    )
    if cfg.seeds == 0:
        return transformer
    require_device(envs, cfg.seeds)

    return dataclasses.replace(
        transformer,
        report=lambda state, key: report(transformer, data(), steps(), reached, plain, cfg, key),
    )


def report(
    transformer: System,
    data: dataset.Dataset,
    steps: Trajectories,
    reached: Callable,
    envs: Environments,
    cfg: Config,
    key,
) -> Result:
    """Trains all seeds, and as many of BC and %BC on the same data; compares their returns.

    `stitching_return` and `max_stitching_return` are the mean and the largest return over seeds
    that are trained on the data of `stitching` and asked for its best return, 1.
    """
    measure = lambda state, key: {"reached": reached(state.params, jax.random.fold_in(key, 0))}
    reached_ST = trained(transformer, steps, cfg, measure)["reached"]
    imitated = {"bc": data, "best_bc": best(data, cfg.cloning.top)}
    cloned = {
        name: np.asarray(cloned_returns(cfg.cloning, rows, envs, key, cfg.seeds))
        for name, rows in imitated.items()
    }
    stitched_S = stitched(cfg)
    metrics = {"stitching_return": stitched_S.mean(), "max_stitching_return": stitched_S.max()}
    metrics = {name: float(x) for name, x in metrics.items()}
    compared = conditioning.compared(cfg.targets, reached_ST, cloned, data)
    return joined([compared, Result(metrics)])


def trained(transformer: System, steps: Trajectories, cfg: Config, measure=None) -> dict:
    """Evaluations (S, ...) of all seeds of the report, as of `train_seeds`."""
    arrays = jax.tree.map(jnp.asarray, steps)
    batch_of = lambda row_B: windows(arrays, row_B, cfg.context)
    rows = len(steps.action)
    return train_seeds(transformer, batch_of, rows, cfg.run, cfg.batch, cfg.seeds, measure)[1]


def stitched(cfg: Config) -> np.ndarray:
    """Returns (S,) of seeds that are trained on the data of `stitching` and asked for its best."""
    small = dataclasses.replace(
        cfg,
        data=stitching.Config(),
        model=dataclasses.replace(cfg.model, vocab=2),
        run=dataclasses.replace(cfg.run, steps=min(cfg.run.steps, 300)),
        return_scale=1.0,
        targets=(stitching.BEST_OF_EPISODES, stitching.BEST),
        eval_episodes=1,
    )
    alone = system(dataclasses.replace(small, seeds=0))
    return trained(alone, trajectories(stitching.dataset(small.data)), small)["eval_return"]
