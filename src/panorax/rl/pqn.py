"""PQN: Q-learning in parallel environments, without replay and without target network.

N environments act epsilon-greedily for T steps. The targets are the lambda-returns

    G_t = r_t + discount * (1 - terminated_t) * ((1 - lambda) * max_a Q(s'_t, a) + lambda * G_{t+1})

of the network before the updates, which the network then fits for K epochs over minibatches of the
N T steps. Layer normalisation keeps the values bounded, which the replay and the target network do
in DQN. The state holds the environments: training is a pure function of the key.
Source: Gallici et al. 2024, arXiv:2407.04811, algorithm 1.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, DecayRate, Share, Whole, checked
from panorax.core.state import State, System, first_state
from panorax.ops.returns import lambda_returns
from panorax.rl.environments import from_gymnasium, from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.on_policy import minibatch_updates
from panorax.rl.play import SHOWN
from panorax.rl.q_values.acting import (
    action_values,
    actor,
    decayed,
    evaluated_greedily,
    greedy_player,
)
from panorax.rl.q_values.networks import Mean, QNetwork, of_action, q_network
from panorax.rl.rollout import Trajectory, rollout, start
from panorax.rl.seeds import report_of
from panorax.rl.torsos import conv, mlp

UNITS = {"return": "sum of rewards", "length": "steps", "q": "discounted sum of rewards"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """Symbols of the paper are in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | from_gymnasium.Config | probes.Config = (
        from_gymnax.Config()
    )
    """environment to act in"""
    torso: mlp.Config | conv.Config = mlp.Config((128, 128), layer_norm=True)
    """network from views to features"""
    dueling: bool = False
    """duelling head: separate outputs for the state and for the advantages of actions"""
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, clip=10.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=250, chunk=10)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 32
    """environments stepped together [N]"""
    length: Count = 64
    """steps of a rollout in each environment [T]"""
    epochs: Count = 4
    """passes over a rollout [K]"""
    minibatches: Count = 16
    """updates per epoch"""
    discount: DecayRate = 0.99
    """discount per step, below 1 because values are bootstrapped [gamma]"""
    q_lambda: Share = 0.95
    """lambda of the returns: 0 is one-step Q-learning, 1 bootstraps at ends only [lambda]"""
    epsilon: Share = 1.0
    """first probability of a random action"""
    final_epsilon: Share = 0.05
    """last probability of a random action"""
    exploration: Share = 0.2
    """share of the run over which the probability of a random action decays linearly"""
    eval_episodes: Count = 100
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 5
    """seeds that the final report trains in parallel; 0 disables the report"""

    def __post_init__(self):
        if self.length * self.n_envs % self.minibatches:
            raise ValueError(
                f"{self.n_envs} environments x {self.length} steps do not divide into "
                f"{self.minibatches} equal minibatches"
            )


@struct.dataclass
class Batch:
    """Training examples; all leaves have the same leading axes."""

    observation: Observation
    """observations s"""
    action: jax.Array
    """actions a"""
    target: jax.Array
    """lambda-returns G"""


def to_batch(params, trajectory: Trajectory, network: QNetwork, cfg: Config) -> Batch:
    """Examples (T, N, ...) of a rollout, whose targets the network bootstraps with `params`."""
    next_q_TNA = action_values(params, trajectory.next_observation, network)
    target_TN = lambda_returns(
        trajectory.reward,
        jnp.max(next_q_TNA, -1),
        trajectory.terminated,
        trajectory.truncated,
        cfg.discount,
        cfg.q_lambda,
    )
    return Batch(trajectory.observation, trajectory.action, target_TN)


def loss_fn(params, extra, batch: Batch, key, network: QNetwork):
    """Half the mean squared error of Q(s, a)."""
    outputs = network.apply(params, batch.observation.view)
    q = network.values(of_action(outputs, batch.action))
    return jnp.mean(jnp.square(batch.target - q)) / 2, (extra, {"q": jnp.mean(q)})


def train_step(
    state: State,
    batch,
    key,
    network: QNetwork,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """A rollout, its targets, then K epochs of minibatches."""
    key_rollout, key_order, key_updates = jax.random.split(key, 3)
    steps = cfg.exploration * cfg.run.steps
    epsilon = decayed(cfg.epsilon, cfg.final_epsilon, steps, state.step)
    act = actor(state.params, network, epsilon)
    running, trajectory = rollout(act, envs, state.extra, key_rollout, cfg.length)
    data = to_batch(state.params, trajectory, network, cfg)
    examples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)
    loss = functools.partial(loss_fn, network=network)
    before, keys = (state.params, state.opt), (key_order, key_updates)
    params, opt, metrics = minibatch_updates(
        loss, tx, *before, examples, keys, cfg.epochs, cfg.minibatches
    )
    metrics |= episode_metrics(running.episodes)
    metrics["epsilon"] = epsilon
    return State(params, opt, running, state.step + 1), metrics


def evaluate(state: State, batch, key, network: QNetwork, envs: Environments, cfg: Config):
    """Return, length and overestimation of greedy episodes."""
    return evaluated_greedily(state.params, network, envs, key, cfg.discount)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PQN as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment, or one whose actions are not Discrete.
    """
    make = module_of(cfg.environment).environments
    envs, held_out = make(cfg.environment, cfg.n_envs), make(cfg.environment, cfg.eval_episodes)
    network = q_network(cfg.torso, envs.shape, envs.actions, cfg.dueling, Mean())
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, network.spec)

    def init_state(key):
        key_params, key_envs = jax.random.split(key)
        params = core_spec.init(network.spec, key_params)
        return first_state(params, tx, start(envs, (), key_envs))

    pqn = System(
        spec=network.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, network=network, envs=envs, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, network=network, envs=held_out, cfg=cfg),
        extra_axes=("batch",),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        on_host=envs.on_host,
        play=greedy_player(network, make(cfg.environment, SHOWN)),
    )
    if cfg.seeds == 0:
        return pqn
    return dataclasses.replace(pqn, report=report_of(pqn, cfg.run, cfg.seeds, held_out))
