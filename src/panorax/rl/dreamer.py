"""DreamerV3: an agent that learns a model of its world and trains its policy inside the model.

A training step acts in N environments, adds the rows to a replay, and makes `updates` updates on
sequences of the replay. An update minimises the losses of the world model
(`panorax.rl.world_models.world`) and, on imagined steps from states of the sequences, the losses of
the actor and the critic (`panorax.rl.world_models.actor_critic`). Model and policy take turns: the
policy collects the data that the model lacks. The report trains an agent without turns beside it,
and other algorithms for as many steps.

Source: Hafner et al. 2023, arXiv:2301.04104. Differences: Adam with a bound on the global norm of
the gradient instead of LaProp with adaptive clipping, no critic loss on replayed rewards, layer
normalisation in the heads, one layer in the prior, Bernoulli pixels, a Gaussian whose deviation
does not depend on the state for continuous actions, and sequences that begin with the state of
their first view instead of a stored state. Imagined actions may be illegal; those in the
environments are legal.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, DecayRate, NonNegative, Positive, Share, Whole, checked
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.nets.recurrent import rssm
from panorax.rl.environments import from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments, MultiDiscrete
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.evaluation import evaluated_episodes
from panorax.rl.play import SHOWN, player
from panorax.rl.replay import uniform
from panorax.rl.replay.experience import Transition, collect, first_experience, row
from panorax.rl.replay.uniform import Replay
from panorax.rl.rollout import Running
from panorax.rl.seeds import random_actions
from panorax.rl.torsos import conv, mlp
from panorax.rl.world_models.actor_critic import Agent, Returns, behaviour_losses
from panorax.rl.world_models.imagination import imagine
from panorax.rl.world_models.report import report_of
from panorax.rl.world_models.world import World, infer, losses

LOSSES = ("view_loss", "reward_loss", "continuation_loss", "dynamics_loss", "representation_loss")
UNITS = {
    "return": "sum of rewards",
    "length": "steps",
    "imagined_return": "discounted sum of rewards",
} | dict.fromkeys(("entropy", "critic_loss", *LOSSES), "nats")
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """The defaults are the model of 1M parameters; symbols are in brackets."""

    environment: from_gymnax.Config | from_pgx.Config | probes.Config = from_gymnax.Config(
        "Breakout-MinAtar"
    )
    """environment to act in"""
    model: rssm.Config = rssm.Config()
    """recurrent state-space model"""
    encoder: conv.Config | mlp.Config = conv.Config(layer_norm=True)
    """network from views to embeddings"""
    head: mlp.Config = mlp.Config(hidden=(64, 64), layer_norm=True, activation="silu")
    """hidden layers of every head: view, reward, continuation, actor and critic"""
    bins: Count = 255
    """odd number of bins of rewards and values"""
    optim: Optimizer = AdamW(peak_lr=4e-4, schedule="constant", b2=0.999, clip=100.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=1500, chunk=10)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 16
    """environments stepped together [N]"""
    length: Count = 4
    """steps in each environment per training step"""
    updates: Count = 2
    """updates per training step"""
    capacity: Count = 102_400
    """largest number of rows in the replay"""
    random_steps: Count = 1024
    """environment steps with random actions before the first training step"""
    as_bytes: bool = False
    """views stored as uint8; only for pixels that are 0 or 1, such as MinAtar's"""
    batch: Count = 16
    """sequences of an update [B]"""
    sequence: Count = 64
    """rows of a sequence [T]"""
    starts: Count = 64
    """last states of each sequence from which imagination starts"""
    horizon: Count = 15
    """imagined steps from every start [H]"""
    discount: DecayRate = 1 - 1 / 333
    """discount per step, below 1 because values are bootstrapped [gamma]"""
    lambda_: Share = 0.95
    """weight of later returns: 0 is one-step TD, 1 bootstraps at the horizon only [lambda]"""
    entropy_weight: NonNegative = 3e-4
    """weight of the entropy bonus [eta]"""
    uniform: Share = 0.01
    """share of the uniform distribution in a policy over discrete actions"""
    free: NonNegative = 1.0
    """nats below which the KL has no gradient"""
    dynamics_weight: Positive = 1.0
    """weight of the loss of the prior"""
    representation_weight: Positive = 0.1
    """weight of the loss of the posterior"""
    slow_rate: Share = 0.02
    """step of the slow critic towards the critic per update"""
    range_rate: Share = 0.01
    """step of the running range of returns per update"""
    eval_episodes: Count = 32
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 0
    """seeds that the final report trains in parallel; 0 disables the report's training"""
    rivals: tuple[str, ...] = ()
    """configs of other algorithms, module:function each, which the report trains as long"""

    def __post_init__(self):
        if self.bins % 2 == 0 or self.bins == 1:
            raise ValueError(f"bins must be odd and at least 3, got {self.bins}")
        if self.capacity % (self.n_envs * self.length):
            raise ValueError(
                f"a replay of {self.capacity} rows is no multiple of a rollout of "
                f"{self.n_envs} environments x {self.length} steps"
            )
        if self.capacity < self.n_envs * self.sequence:
            raise ValueError(
                f"a replay of {self.capacity} rows is smaller than a sequence of {self.sequence} "
                f"in each of {self.n_envs} environments"
            )
        if self.starts > self.sequence:
            raise ValueError(
                f"a sequence of {self.sequence} rows has no {self.starts} states to start from"
            )

    @property
    def rollouts_before(self) -> int:
        """Rollouts of random actions before the first training step, at least a sequence."""
        steps = max(self.random_steps, self.sequence * self.n_envs)
        return -(-steps // (self.n_envs * self.length))


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments, and the state of the model in each"""
    replay: Replay
    """rows of all environments"""
    returns: Returns
    """slow critic and range of returns"""


def loss_fn(params, returns: Returns, rows: Transition, key, agent: Agent, cfg: Config):
    """The losses of the world model, the actor and the critic on sequences of rows."""
    key_infer, key_imagine = jax.random.split(key)
    states = infer(agent.world, params["world"], rows, key_infer)
    model_losses = losses(agent.world, params["world"], rows, states, cfg.free)
    weights = {
        "dynamics_loss": cfg.dynamics_weight,
        "representation_loss": cfg.representation_weight,
    }
    loss = sum(weights.get(name, 1.0) * x for name, x in model_losses.items())

    fixed, before = jax.lax.stop_gradient((params, states.before))
    last = jax.tree.map(lambda x: x[:, -cfg.starts :].reshape(-1, *x.shape[2:]), before)
    act = lambda features, key: agent.policy(fixed, features).sample(key)
    dream = imagine(agent.world, fixed["world"], last, act, key_imagine, cfg.horizon)
    behaviour, returns, metrics = behaviour_losses(agent, params, dream, returns, cfg)
    return loss + sum(behaviour.values()), (returns, {**model_losses, **behaviour, **metrics})


def train_step(state: State, batch, key, agent: Agent, explore, envs: Environments, tx, cfg):
    """Steps in the environments under explore(params), then `cfg.updates` updates."""
    key_act, key_learn = jax.random.split(key)
    extra: Extra = state.extra
    act = explore(state.params)
    running, replay = collect(
        act, envs, extra.running, extra.replay, uniform.add, key_act, cfg.length
    )
    loss = functools.partial(loss_fn, agent=agent, cfg=cfg)

    def learn(learner, key):
        key_draw, key_update = jax.random.split(key)
        rows = uniform.draw(replay, key_draw, cfg.batch, cfg.sequence)
        rows = jax.tree.map(split_batch, rows)
        params, opt, returns, metrics = update(loss, tx, *learner, rows, key_update)
        slow = optax.incremental_update(params["critic"], returns.slow, cfg.slow_rate)
        return (params, opt, returns.replace(slow=slow)), metrics

    learner = state.params, state.opt, extra.returns
    keys = jax.random.split(key_learn, cfg.updates)
    (params, opt, returns), metrics = jax.lax.scan(learn, learner, keys)
    metrics = jax.tree.map(jnp.mean, metrics) | episode_metrics(running.episodes)
    return State(params, opt, Extra(running, replay, returns), state.step + 1), metrics


def evaluate(state: State, batch, key, act_of, envs: Environments, empty_memory):
    """Return and length of episodes with the most probable actions."""
    return evaluated_episodes(act_of(state), envs, empty_memory(envs.n), key)


def initial(key, agent: Agent, envs: Environments, tx, cfg: Config) -> State:
    """The first state: random parameters, and a replay with `cfg.rollouts_before` rollouts."""
    key_params, key_envs = jax.random.split(key)
    params = core_spec.init(agent.spec, key_params)

    def empty(observation):
        return uniform.empty(row(envs, observation, cfg.as_bytes), cfg.capacity // cfg.n_envs)

    fill = random_actions(envs), envs, empty, uniform.add
    running, replay = first_experience(*fill, key_envs, cfg.rollouts_before, cfg.length)
    first = jnp.ones_like(running.first)
    running = running.replace(memory=agent.empty_memory(envs.n), first=first)
    slow = jax.tree.map(jnp.copy, params["critic"])
    returns = Returns(slow, jnp.zeros(()), jnp.zeros(()))
    return first_state(params, tx, Extra(running, replay, returns))


def agent_of(cfg: Config, envs: Environments) -> Agent:
    """The agent in `envs`.

    Raises UserError for an action space of several discrete choices, and for an encoder that cannot
    see the views.
    """
    if isinstance(envs.actions, MultiDiscrete):
        raise UserError("Dreamer acts in a Discrete space or a Box, not by several choices")
    try:
        encoder = module_of(cfg.encoder).torso(cfg.encoder, envs.shape)
    except ValueError as error:
        raise UserError(str(error)) from error
    heads = lambda: mlp.torso(cfg.head, (cfg.model.width,))
    return Agent(World(cfg.model, envs.actions, envs.shape, encoder, heads, cfg.bins), cfg.uniform)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """DreamerV3 as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment, and as `agent_of` and `rivals` do.
    """
    make = module_of(cfg.environment).environments
    envs, held_out, shown = (
        make(cfg.environment, n) for n in (cfg.n_envs, cfg.eval_episodes, SHOWN)
    )
    agent = agent_of(cfg, envs)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.updates, agent.spec)
    explore = lambda params: agent.act(lambda pi, key: pi.sample(key), params)
    greedy = lambda state: agent.act(lambda pi, key: pi.mode(), state.params)
    parts = {"agent": agent, "envs": envs, "tx": tx, "cfg": cfg}
    dreamer = System(
        spec=agent.spec,
        init_state=functools.partial(initial, **parts),
        train_step=functools.partial(train_step, explore=explore, **parts),
        evaluate=functools.partial(
            evaluate, act_of=greedy, envs=held_out, empty_memory=agent.empty_memory
        ),
        extra_axes=Extra(
            running=("batch",),
            replay=Replay(rows=("batch",), head=None, filled=None),
            returns=Returns(core_spec.axes(agent.spec["critic"]), None, None),
        ),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        play=player(greedy, shown, agent.empty_memory),
    )
    at_random = functools.partial(train_step, explore=lambda _: random_actions(envs), **parts)
    scene = agent, held_out, shown
    return dataclasses.replace(dreamer, report=report_of(dreamer, at_random, scene, cfg))
