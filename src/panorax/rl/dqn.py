"""Deep Q-networks with the parts of Rainbow, each of which an option turns on.

The network Q minimises the squared error of

    y = r + discount * (1 - terminated) * Q'(s', argmax_a Q'(s', a))

on transitions drawn from a replay of the last steps. Q' is the target network, a copy of Q of k
updates ago or a running mean of Q. A training step acts epsilon-greedily in N environments, adds
the transitions to the replay, and updates Q. The replay and the environments are part of the state:
training is a pure function. `panorax.rl.q_values.targets` has n-step, double and distributional
targets.
Source: Mnih et al. 2015, doi:10.1038/nature14236; Hessel et al. 2018, arXiv:1710.02298.
"""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, DecayRate, Positive, PositiveShare, Share, Whole, checked
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.rl.comparison import compared
from panorax.rl.environments import from_gymnasium, from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.play import SHOWN
from panorax.rl.q_values.acting import actor, decayed, evaluated_greedily, greedy_player
from panorax.rl.q_values.networks import Categorical, Mean, QNetwork, of_action, q_network
from panorax.rl.q_values.targets import q_error, q_target
from panorax.rl.replay.buffers import Buffer, Prioritized, Uniform, buffer
from panorax.rl.replay.experience import collect, first_experience, row
from panorax.rl.rollout import Running
from panorax.rl.seeds import report_of
from panorax.rl.torsos import conv, mlp

UNITS = {"return": "sum of rewards", "length": "steps", "q": "discounted sum of rewards"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """Symbols of the papers are in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | from_gymnasium.Config | probes.Config = (
        from_gymnax.Config()
    )
    """environment to act in"""
    torso: mlp.Config | conv.Config = mlp.Config((120, 84))
    """network from views to features"""
    returns: Mean | Categorical = Mean()
    """head of the network: the mean of the return, or its distribution (C51)"""
    replay: Uniform | Prioritized = Uniform()
    """replay: transitions drawn uniformly, or in proportion to their priorities"""
    optim: Optimizer = AdamW(peak_lr=2.5e-4, schedule="constant", b2=0.999, clip=10.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=50_000, chunk=500)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 10
    """environments stepped together [N]"""
    length: Count = 1
    """steps in each environment per training step"""
    updates: Count = 1
    """updates per training step"""
    batch: Count = 128
    """transitions of an update [B]"""
    capacity: Count = 10_000
    """largest number of transitions in the replay"""
    random_steps: Count = 1000
    """environment steps with random actions before the first training step"""
    as_bytes: bool = False
    """views stored as uint8; only for whole numbers up to 255, such as MinAtar's pixels"""
    discount: DecayRate = 0.99
    """discount per step, below 1 because values are bootstrapped [gamma]"""
    n_step: Count = 1
    """steps of rewards in a target before it is bootstrapped [n]"""
    double: bool = False
    """double Q-learning: the network that learns chooses the action of the target network"""
    dueling: bool = False
    """duelling head: separate outputs for the state and for the advantages of actions"""
    huber: Positive | None = None
    """largest slope of the loss in the TD error; None: the squared error"""
    target_every: Count = 50
    """updates between two updates of the target network [C]"""
    target_rate: PositiveShare = 1.0
    """step of the target network towards the network; 1 copies it [tau]"""
    epsilon: Share = 1.0
    """first probability of a random action"""
    final_epsilon: Share = 0.05
    """last probability of a random action"""
    exploration: Share = 0.5
    """share of the run over which the probability of a random action decays linearly"""
    eval_episodes: Count = 100
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the final report trains in parallel; 0 disables the report"""
    without: tuple[Literal["replay", "target", "double", "norm"], ...] = ()
    """parts to ablate: the report trains the agent with and without each, on the same seeds"""

    def __post_init__(self):
        rollout = f"{self.n_envs} environments x {self.length} steps"
        if self.capacity % (self.n_envs * self.length):
            raise ValueError(
                f"a replay of {self.capacity} transitions is no multiple of a rollout of {rollout}"
            )
        if self.capacity < self.least_capacity:
            raise ValueError(
                f"a replay of {self.capacity} transitions is smaller than a batch of {self.batch} "
                f"or than {self.length} + {self.n_step} - 1 steps in {self.n_envs} environments"
            )

    @property
    def least_capacity(self) -> int:
        """Smallest replay: a batch, and the rows whose samples a rollout completes or begins."""
        return max(self.batch, (self.length + self.n_step - 1) * self.n_envs)

    @property
    def rollouts_before(self) -> int:
        """Rollouts of random actions before the first training step, at least n steps."""
        steps = max(self.random_steps, self.n_step * self.n_envs)
        return -(-steps // (self.n_envs * self.length))


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments"""
    memory: Any
    """state of the replay"""
    target: Any
    """parameters of the target network"""


def loss_fn(params, target, batch, key, network: QNetwork, cfg: Config):
    """Mean weighted loss of a Sample of the replay; its metrics have the priorities (B,)."""
    sequence, weight = batch.rows, batch.weight
    y = q_target(network, params, target, sequence, cfg.discount, cfg.double)
    outputs = network.apply(params, sequence.observation.view[:, 0])
    chosen = of_action(outputs, sequence.action[:, 0])
    loss, priority = q_error(network, chosen, y, cfg.huber)
    metrics = {"q": jnp.mean(network.values(chosen)), "priority": priority}
    return jnp.mean(weight * loss), (target, metrics)


def learn(learner, inputs, memory_buffer: Buffer, network: QNetwork, tx, progress, cfg: Config):
    """One update of the network, its priorities and its target; count: updates so far."""
    params, opt, target, memory = learner
    count, key = inputs
    batch = memory_buffer.draw(memory, key, cfg.batch, progress)
    batch = batch._replace(rows=jax.tree.map(split_batch, batch.rows))
    loss = functools.partial(loss_fn, network=network, cfg=cfg)
    params, opt, target, metrics = update(loss, tx, params, opt, target, batch, key)
    memory = memory_buffer.revise(memory, batch.index, metrics.pop("priority"))
    rate = jnp.where((count + 1) % cfg.target_every == 0, cfg.target_rate, 0.0)
    target = optax.incremental_update(params, target, rate)
    return (params, opt, target, memory), metrics


def train_step(
    state: State,
    batch,
    key,
    network: QNetwork,
    memory_buffer: Buffer,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """Steps in the environments, which enter the replay, then `cfg.updates` updates."""
    key_act, key_learn = jax.random.split(key)
    extra: Extra = state.extra
    steps = cfg.exploration * cfg.run.steps
    epsilon = decayed(cfg.epsilon, cfg.final_epsilon, steps, state.step)
    act = actor(state.params, network, epsilon)
    running, memory = collect(
        act, envs, extra.running, extra.memory, memory_buffer.add, key_act, cfg.length
    )
    one_update = functools.partial(
        learn,
        memory_buffer=memory_buffer,
        network=network,
        tx=tx,
        progress=jnp.minimum(state.step / cfg.run.steps, 1.0),
        cfg=cfg,
    )
    counts = state.step * cfg.updates + jnp.arange(cfg.updates)
    (params, opt, target, memory), metrics = jax.lax.scan(
        one_update,
        (state.params, state.opt, extra.target, memory),
        (counts, jax.random.split(key_learn, cfg.updates)),
    )
    metrics = jax.tree.map(jnp.mean, metrics) | episode_metrics(running.episodes)
    metrics["epsilon"] = epsilon
    return State(params, opt, Extra(running, memory, target), state.step + 1), metrics


def evaluate(state: State, batch, key, network: QNetwork, envs: Environments, cfg: Config):
    """Return, length and overestimation of greedy episodes."""
    return evaluated_greedily(state.params, network, envs, key, cfg.discount)


def without(cfg: Config, part: str) -> Config:
    """`cfg` without a part, and without a report.

    Without replay, an update draws from the newest transitions only, as many as fill a batch.
    Without target network, Q' is Q itself.
    """
    rollout = cfg.n_envs * cfg.length
    changes = {
        "replay": {"capacity": rollout * -(-cfg.least_capacity // rollout)},
        "target": {"target_every": 1, "target_rate": 1.0},
        "double": {"double": False},
        "norm": {"torso": dataclasses.replace(cfg.torso, layer_norm=False)},
    }
    return dataclasses.replace(cfg, seeds=0, without=(), **changes[part])


def initial(key, network: QNetwork, memory_buffer: Buffer, envs: Environments, tx, cfg) -> State:
    """The first state: random parameters, and a replay with `cfg.rollouts_before` rollouts."""
    key_params, key_envs = jax.random.split(key)
    params = core_spec.init(network.spec, key_params)

    def empty(observation):
        rows = row(envs, observation, cfg.as_bytes)
        return memory_buffer.empty(rows, cfg.capacity // cfg.n_envs)

    random = actor(params, network, 1.0)
    experience = first_experience(
        random, envs, empty, memory_buffer.add, key_envs, cfg.rollouts_before, cfg.length
    )
    return first_state(params, tx, Extra(*experience, jax.tree.map(jnp.copy, params)))


def agent(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """DQN as a System without a report, which `system` documents."""
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    network = q_network(cfg.torso, envs.shape, envs.actions, cfg.dueling, cfg.returns)
    memory_buffer = buffer(cfg.replay, cfg.n_step)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.updates, network.spec)
    parts = {"network": network, "memory_buffer": memory_buffer, "envs": envs, "tx": tx}
    return System(
        spec=network.spec,
        init_state=functools.partial(initial, **parts, cfg=cfg),
        train_step=functools.partial(train_step, **parts, cfg=cfg),
        evaluate=functools.partial(evaluate, network=network, envs=held_out, cfg=cfg),
        extra_axes=Extra(("batch",), memory_buffer.axes, core_spec.axes(network.spec)),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        on_host=envs.on_host,
        play=greedy_player(network, make(cfg.environment, SHOWN)),
    )


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """DQN as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment, or one whose actions are not Discrete.
    """
    dqn = agent(cfg, tx)
    if cfg.seeds == 0:
        return dqn
    if cfg.without:
        ablated = {f"without_{part}": agent(without(cfg, part)) for part in cfg.without}
        report = lambda _, key: compared({"whole": dqn} | ablated, cfg.run, cfg.seeds, key)
    else:
        held_out = module_of(cfg.environment).environments(cfg.environment, cfg.eval_episodes)
        before = cfg.n_envs * cfg.length * cfg.rollouts_before
        report = report_of(dqn, cfg.run, cfg.seeds, held_out, before=before)
    return dataclasses.replace(dqn, report=report)
