"""DreamerV3: an agent that learns a model of its world and trains its policy inside the model.

One training step acts in N environments, adds the steps to a replay, and makes `updates` updates on
sequences of it. Each minimises the loss of the world model (`panorax.rl.world_model`) and, on
imagined steps from every state of the sequences, the losses of the actor and the critic:

    R_k     = r_k + gamma c_k ((1 - lambda) v_{k+1} + lambda R_{k+1})
    actor   = -E w_k [log pi(a_k | s_k) sg(R_k - v_k) / max(1, S) + eta H(pi(s_k))]
    critic  = -E w_k [log p(sg R_k | s_k) + log p(v_slow(s_k) | s_k)]

c is the predicted continuation, w the product of gamma c so far, and S a running mean of the range
of R between its 5th and 95th percentile: one scale of entropy serves all rewards. Model and agent
alternate: the agent transfers nothing to a world that its model has not seen.
Source: Hafner et al. 2023, arXiv:2301.04104. Differences: Adam instead of LaProp, no critic loss on
replayed rewards, and sequences start from an empty state instead of a stored one.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from panorax.core import figures, struct
from panorax.core import spec as core_spec
from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, Share, Whole, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.nets.recurrent import rssm
from panorax.nets.recurrent.rssm import Latent
from panorax.ops.distributions import Categorical, masked
from panorax.ops.returns import lambda_returns
from panorax.ops.two_hot import expectation
from panorax.rl.environments import from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Environments, MultiDiscrete
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.evaluation import evaluated_episodes, shown_episodes
from panorax.rl.play import SHOWN, player
from panorax.rl.policies import actions
from panorax.rl.replay import uniform
from panorax.rl.replay.uniform import Replay
from panorax.rl.rollout import Running, Trajectory, rollout, start
from panorax.rl.seeds import report_of
from panorax.rl.torsos import conv, mlp
from panorax.rl.world_model import (
    BINS,
    Steps,
    World,
    bins,
    categorical_loss,
    imagine,
    infer,
    losses,
    opened,
    predicted_views,
    vector_of,
    width_of,
)

UNITS = {"return": "sum of rewards", "length": "steps", "entropy": "nats", "view": "nats"}
"""units of the metrics, for the axes of curves"""
SEEN, PREDICTED = 5, 20  # steps of the figure of an open-loop prediction


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
    optim: Optimizer = AdamW(peak_lr=4e-4, schedule="constant", b2=0.999, clip=100.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=1500, chunk=10)
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    n_envs: Count = 16
    """environments stepped together [N]"""
    length: Count = 4
    """steps of a training step in each environment"""
    updates: Count = 2
    """updates of a training step"""
    capacity: Count = 8192
    """steps of each environment that the replay keeps"""
    fill: Count = 64
    """random steps of each environment before training"""
    batch: Count = 16
    """sequences of an update [B]"""
    sequence: Count = 64
    """steps of a sequence [T]"""
    horizon: Count = 15
    """imagined steps from every state [H]"""
    discount: Share = 1 - 1 / 333
    """discount per step [gamma]"""
    lambda_: Share = 0.95
    """weight of later returns [lambda]"""
    entropy_weight: NonNegative = 3e-4
    """weight of the entropy bonus [eta]"""
    uniform: Share = 0.01
    """share of the uniform distribution in the policy"""
    free: NonNegative = 1.0
    """nats below which the KL has no gradient"""
    dynamics_weight: Positive = 1.0
    """weight of the loss of the prior"""
    representation_weight: Positive = 0.1
    """weight of the loss of the posterior"""
    slow: Share = 0.02
    """rate of the slow critic"""
    scale: Share = 0.01
    """rate of the running range of returns"""
    eval_episodes: Count = 32
    """evaluated episodes, each in an environment of its own"""
    seeds: Whole = 0
    """seeds that the final report trains in parallel; 0 disables the report"""

    def __post_init__(self):
        if self.capacity % self.length or self.fill % self.length:
            raise ValueError(
                f"capacity {self.capacity} and fill {self.fill} must be multiples of the "
                f"{self.length} steps of a training step"
            )
        if not self.sequence <= self.fill <= self.capacity:
            raise ValueError(
                f"fill must be between the {self.sequence} steps of a sequence and the capacity "
                f"{self.capacity}, got {self.fill}"
            )


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments, and the latent state and last action in each"""
    replay: Replay
    """steps of all environments"""
    slow: Any
    """parameters of the slow critic"""
    low: jax.Array
    """running 5th percentile of returns"""
    high: jax.Array
    """running 95th percentile of returns"""


class Memory(NamedTuple):
    """What the agent knows before it sees an observation."""

    latent: Latent
    action: jax.Array


class Agent(NamedTuple):
    """The world model and the heads of actor and critic, as values."""

    world: World
    cfg: Config

    @property
    def spec(self):
        head = self.world.heads()
        return {
            "world": self.world.spec,
            "actor": {"torso": head.spec, "head": actions.head_spec(self.world.space, head.width)},
            "critic": {
                "torso": head.spec,
                "out": dense_spec(head.width, BINS, fan_in(0.0)),
            },
        }

    def policy(self, params, features, legal=None):
        """Distribution over actions, with a uniform share if actions are discrete."""
        x = self.world.heads().apply(params["actor"]["torso"], features)
        pi = actions.head(params["actor"]["head"], x, None, self.world.space)
        if not isinstance(pi, Categorical):
            return pi
        A = pi.logits.shape[-1]
        p = (1 - self.cfg.uniform) * jax.nn.softmax(pi.logits) + self.cfg.uniform / A
        return Categorical(jnp.log(p) if legal is None else masked(jnp.log(p), legal))

    def value_logits(self, params, features):
        """Logits of the critic over the bins."""
        return dense(params["out"], self.world.heads().apply(params["torso"], features))

    def empty_memory(self, n: int) -> Memory:
        return Memory(rssm.empty(self.world.cfg, (n,)), jnp.zeros((n, width_of(self.world.space))))

    def act(self, choose, params):
        """The agent as an `Act` function; `choose(distribution, key)` returns the action."""

        def act(memory: Memory, observation, first, key):
            key_open, key_infer, key_act = jax.random.split(key, 3)
            p, cfg = params["world"]["rssm"], self.world.cfg
            opening = opened(self.world, params["world"], observation.view, key_open)
            h = rssm.advance(p, memory.latent, memory.action, cfg)
            embedding = self.world.encode(params["world"], observation.view)
            z = rssm.sample(rssm.posterior(p, h, embedding, cfg), key_infer)
            h = jnp.where(first[:, None], opening.h, h)
            z = jnp.where(first[:, None, None], opening.z, z)
            latent = Latent(h, z)
            action = choose(self.policy(params, latent.features, observation.legal), key_act)
            return Memory(latent, vector_of(self.world.space, action)), action

        return act


def steps_of(trajectory: Trajectory) -> Steps:
    """The steps of a rollout as the replay keeps them."""
    return Steps(
        view=trajectory.observation.view,
        first=trajectory.first,
        action=trajectory.action,
        reward=trajectory.reward,
        terminated=trajectory.terminated,
        next_view=trajectory.next_observation.view,
    )


def loss_fn(params, extra: Extra, batch: Steps, key, agent: Agent):
    """The losses of the world model, the actor and the critic."""
    cfg, world = agent.cfg, agent.world
    key_infer, key_imagine = jax.random.split(key)
    inferred = infer(world, params["world"], batch, key_infer)
    parts = losses(world, params["world"], batch, inferred, cfg.free)
    weights = {"dynamics": cfg.dynamics_weight, "representation": cfg.representation_weight}
    model_loss = sum(weights.get(name, 1.0) * part for name, part in parts.items())

    fixed = jax.lax.stop_gradient(params)
    flat = lambda x: jax.lax.stop_gradient(x.reshape(-1, *x.shape[2:]))
    latent = jax.tree.map(flat, inferred.latent)
    act = lambda features, key: agent.policy(fixed, features).sample(key)
    dream = imagine(world, fixed["world"], latent, act, key_imagine, cfg.horizon)
    dream = jax.tree.map(jax.lax.stop_gradient, dream)

    logits = agent.value_logits(params["critic"], dream.features)
    value = jax.lax.stop_gradient(expectation(logits, bins()))
    never = jnp.zeros(dream.reward.shape, bool)
    discount = cfg.discount * dream.goes_on
    returns = lambda_returns(dream.reward, value[1:], never, never, discount, cfg.lambda_)
    alive = 1.0 - flat(batch.terminated)
    weight = jnp.cumprod(jnp.concatenate([alive[None], discount[:-1]]), 0)

    low, high = (
        (1 - cfg.scale) * old + cfg.scale * jnp.percentile(returns, q)
        for old, q in ((extra.low, 5), (extra.high, 95))
    )
    advantage = (returns - value[:-1]) / jnp.maximum(1.0, high - low)
    pi = agent.policy(params, dream.features[:-1])
    entropy = pi.entropy()
    actor_loss = -jnp.mean(
        weight * (pi.log_prob(dream.action) * advantage + cfg.entropy_weight * entropy)
    )
    slow = expectation(agent.value_logits(extra.slow, dream.features[:-1]), bins())
    critic_loss = jnp.mean(
        weight * (categorical_loss(logits[:-1], returns) + categorical_loss(logits[:-1], slow))
    )
    metrics = {
        **parts,
        "actor_loss": actor_loss,
        "critic_loss": critic_loss,
        "entropy": jnp.mean(entropy),
        "imagined_return": jnp.mean(returns),
    }
    extra = extra.replace(low=low, high=high)
    return model_loss + actor_loss + critic_loss, (extra, metrics)


def train_step(state: State, batch, key, agent: Agent, envs: Environments, tx):
    """Steps in every environment, then updates on sequences of the replay."""
    cfg = agent.cfg
    key_rollout, key_draw, key_update = jax.random.split(key, 3)
    extra: Extra = state.extra
    act = agent.act(lambda pi, key: pi.sample(key), state.params)
    running, trajectory = rollout(act, envs, extra.running, key_rollout, cfg.length)
    memory = uniform.add(extra.replay, steps_of(trajectory))
    loss = functools.partial(loss_fn, agent=agent)

    def learn(carry, keys):
        key_draw, key_update = keys
        steps = uniform.draw(memory, key_draw, cfg.batch, cfg.sequence)
        steps = jax.tree.map(split_batch, steps)
        params, opt, extra, metrics = update(loss, tx, *carry, steps, key_update)
        slow = optax.incremental_update(params["critic"], extra.slow, cfg.slow)
        return (params, opt, extra.replace(slow=slow)), metrics

    keys = (jax.random.split(key_draw, cfg.updates), jax.random.split(key_update, cfg.updates))
    carry = (state.params, state.opt, extra.replace(running=running, replay=memory))
    (params, opt, extra), metrics = jax.lax.scan(learn, carry, keys)
    metrics = jax.tree.map(jnp.mean, metrics) | episode_metrics(running.episodes)
    return State(params, opt, extra, state.step + 1), metrics


def first_extra(params, agent: Agent, envs: Environments, key) -> Extra:
    """Environments after `fill` random steps, which the replay holds."""
    key_start, key_fill = jax.random.split(key)
    running = start(envs, (), key_start)
    random = lambda memory, observation, first, key: (
        memory,
        actions.uniform(envs.actions, observation, envs.n, key),
    )
    running, trajectory = rollout(random, envs, running, key_fill, agent.cfg.fill)
    steps = steps_of(trajectory)
    memory = uniform.empty(jax.tree.map(lambda x: x[0], steps), agent.cfg.capacity)
    first = running.replace(memory=agent.empty_memory(envs.n), first=jnp.ones_like(running.first))
    return Extra(first, filled(memory, steps, agent.cfg.length), params["critic"], *(jnp.zeros(2)))


def filled(memory: Replay, steps: Steps, length: int) -> Replay:
    """`memory` with all steps (T, N, ...), `length` rows at a time."""
    parts = jax.tree.map(lambda x: x.reshape(-1, length, *x.shape[1:]), steps)
    return jax.lax.scan(lambda memory, part: (uniform.add(memory, part), None), memory, parts)[0]


def draw_prediction(agent: Agent, envs: Environments, state: State, key) -> Any:
    """Views of an episode, and the views that the model predicts from the first SEEN of them."""
    key_play, key_predict = jax.random.split(key)
    act = agent.act(lambda pi, key: pi.mode(), state.params)
    trajectory = shown_episodes(act, envs, agent.empty_memory(envs.n), key_play)
    steps = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1)[:1, : SEEN + PREDICTED], steps_of(trajectory)
    )
    predicted = predicted_views(agent.world, state.params["world"], steps, SEEN, key_predict)
    shown = [*range(0, SEEN + PREDICTED, 4)]
    truth, model = (
        [envs.picture(jax.device_get(x[0, t])) for t in shown] for x in (steps.next_view, predicted)
    )
    figure = figures.pictures([*truth, *model], len(shown), size=1.2)
    for ax, t in zip(figure.axes, [*shown, *shown]):
        ax.set_title(f"step {t + 1}" + (", seen" if t < SEEN else ""), fontsize=8)
    return figure


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """DreamerV3 as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment, an action space of several discrete choices, and
    environments on the host.
    """
    make = module_of(cfg.environment).environments
    envs, held_out, shown = (
        make(cfg.environment, n) for n in (cfg.n_envs, cfg.eval_episodes, SHOWN)
    )
    if isinstance(envs.actions, MultiDiscrete) or envs.on_host:
        raise UserError("Dreamer needs compiled environments with actions of a Discrete or a Box")
    encoder = module_of(cfg.encoder).torso(cfg.encoder, envs.shape)
    heads = lambda: mlp.torso(cfg.head, (cfg.model.width,))
    agent = Agent(World(cfg.model, envs.actions, envs.shape, encoder, heads), cfg)
    spec = agent.spec
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.updates, spec)
    greedy = lambda state: agent.act(lambda pi, key: pi.mode(), state.params)

    def init_state(key):
        key_params, key_extra = jax.random.split(key)
        params = core_spec.init(spec, key_params)
        return first_state(params, tx, first_extra(params, agent, envs, key_extra))

    def evaluate(state, batch, key):
        return evaluated_episodes(greedy(state), held_out, agent.empty_memory(held_out.n), key)

    dreamer = System(
        spec=spec,
        init_state=init_state,
        train_step=functools.partial(train_step, agent=agent, envs=envs, tx=tx),
        evaluate=evaluate,
        extra_axes=Extra(
            running=("batch",),
            replay=Replay(rows=("batch",), head=None, filled=None),
            slow=core_spec.axes(spec["critic"]),
            low=None,
            high=None,
        ),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        play=player(greedy, shown, agent.empty_memory),
    )
    curves = report_of(dreamer, cfg.run, cfg.seeds, held_out) if cfg.seeds else None

    def report(state, key):
        key_curves, key_predict = jax.random.split(key)
        result = curves(state, key_curves) if curves else Result({})
        if shown.picture:
            figure = draw_prediction(agent, shown, state, key_predict)
            result.figures["prediction.png"] = figure
        return result

    return dataclasses.replace(dreamer, report=report)
