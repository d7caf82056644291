"""MuZero: AlphaZero without the rules. It searches in a model that it learns from its own games.

    s_0              = represent(view_t)
    r_k, s_k         = dynamics(s_{k-1}, a_{t+k})
    p_k, v_k         = predict(s_k)
    loss             = sum_k w_k [CE(pi_{t+k}, p_k) + CE(z_{t+k}, v_k) + CE(u_{t+k}, r_k)]

pi are the weights of the search, z outcomes for the player to move, u rewards of the mover. w_0 is
1 and w_k is 1 / K for the K unrolled moves; the gradient into s_{k-1} is halved. Behind the end of
a game rewards and outcomes are 0, the policy has no target, and actions are those of the next game.
Values and rewards are categorical: two_hot(h(x)) over bins, h(x) = sign(x)(sqrt(|x| + 1) - 1) +
eps x. A latent state is scaled to [0, 1] by its least and largest entry.

The search knows the legal moves of its root, and that the players alternate; nothing else of the
game reaches it. With symmetries of the game in use (`play.augment`) those are known too.
Source: Schrittwieser et al. 2020 (doi:10.1038/s41586-020-03051-4); Gumbel search: Danihelka et al.
2022. Differences: no reanalysis, and the value target is the outcome of the game.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from panorax.core.config import Run, module_of
from panorax.core.optim import AdamW, Optimizer
from panorax.core.ranges import Count, NonNegative, Positive, checked
from panorax.core.state import State, System
from panorax.nets import mlp as layers
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.distributions import masked
from panorax.ops.two_hot import contract, expand, expectation, two_hot
from panorax.rl.games import from_pgx, self_play, strength
from panorax.rl.games.game import Game
from panorax.rl.games.learner import evaluate, system_of
from panorax.rl.games.play import Choice, Plan, policy_of, prior_player, search_player
from panorax.rl.games.self_play import Position
from panorax.rl.search import RecurrentFnOutput, RootFnOutput
from panorax.rl.torsos import mlp, residual

UNITS = {"policy_loss": "nats", "value_loss": "nats", "reward_loss": "nats", "game_length": "moves"}


@checked
class Config:
    game: from_pgx.Config = from_pgx.Config()
    """game of two players who alternate"""
    torso: mlp.Config | residual.Config = mlp.Config(hidden=(256, 256))
    """network from the view to the latent state"""
    latent: Count = 128
    """size of the latent state"""
    hidden: tuple[Count, ...] = (256,)
    """hidden layers of the dynamics and of the prediction"""
    optim: Optimizer = AdamW(peak_lr=2e-3, schedule="cosine", weight_decay=1e-4, clip=1.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=600, chunk=10)
    """training steps, evaluations and checkpoints"""
    play: self_play.Config = self_play.Config()
    """self-play and updates on its positions"""
    unroll: Count = 5
    """moves that the model predicts from a position [K]"""
    bins: Count = 31
    """bins of a value and of a reward"""
    largest: Positive = 1.5
    """largest value and reward that the bins hold"""
    value_weight: NonNegative = 1.0
    """weight of the value's loss"""
    report: strength.Config = strength.Config()
    """evaluations and the report"""

    def __post_init__(self):
        if self.bins < 2 or not self.hidden:
            raise ValueError("a model needs at least 2 bins and one hidden layer")
        if self.unroll >= self.play.length:
            raise ValueError(
                f"unroll {self.unroll} must be smaller than the {self.play.length} moves of a step"
            )


@dataclass(frozen=True)
class Model:
    """The learned model of a game: three networks and the bins of their numbers."""

    spec: Any
    """parameters, a tree of P"""
    represent: Callable
    """represent(params, view_B) -> latent_BH"""
    dynamics: Callable
    """dynamics(params, latent_BH, action_BA) -> (latent_BH, reward logits (B, bins))"""
    predict: Callable
    """predict(params, latent) -> (policy logits (..., A), value logits (..., bins))"""
    bins: jax.Array
    """contracted values of the bins"""

    def scalar(self, logits: jax.Array) -> jax.Array:
        """The number of a distribution over bins."""
        return expand(expectation(logits, self.bins))

    def error(self, logits: jax.Array, x: jax.Array) -> jax.Array:
        """Cross-entropy of a distribution over bins with the number x."""
        target = two_hot(contract(x), self.bins)
        return -jnp.sum(target * jax.nn.log_softmax(logits), -1)


def model_of(cfg: Config, game: Game) -> Model:
    """The networks of `cfg` for a game."""
    A, H = game.actions, cfg.latent
    torso = module_of(cfg.torso).torso(cfg.torso, game.shape)
    hidden = lambda inputs: layers.spec((inputs, *cfg.hidden))
    top = cfg.hidden[-1]
    spec = {
        "represent": {"torso": torso.spec, "out": dense_spec(torso.width, H, fan_in(1.0))},
        "dynamics": {
            "hidden": hidden(H + A),
            "out": dense_spec(top, H, fan_in(1.0)),
            "reward": dense_spec(top, cfg.bins, fan_in(0.1)),
        },
        "predict": {
            "hidden": hidden(H),
            "policy": dense_spec(top, A, fan_in(0.1)),
            "value": dense_spec(top, cfg.bins, fan_in(0.1)),
        },
    }

    def represent(params, view_B):
        features = torso.apply(params["represent"]["torso"], view_B.astype(jnp.float32))
        return scaled(dense(params["represent"]["out"], features))

    def dynamics(params, latent_BH, action_BA):
        inputs = jnp.concatenate([latent_BH, action_BA], -1)
        h = layers.apply(params["dynamics"]["hidden"], inputs, jax.nn.relu)
        latent_BH = scaled(latent_BH + dense(params["dynamics"]["out"], h))
        return latent_BH, dense(params["dynamics"]["reward"], h)

    def predict(params, latent):
        h = layers.apply(params["predict"]["hidden"], latent, jax.nn.relu)
        return dense(params["predict"]["policy"], h), dense(params["predict"]["value"], h)

    end = contract(jnp.float32(cfg.largest))
    return Model(spec, represent, dynamics, predict, jnp.linspace(-end, end, cfg.bins))


def scaled(latent: jax.Array) -> jax.Array:
    """The latent state with entries from 0 to 1."""
    low, high = (f(latent, -1, keepdims=True) for f in (jnp.min, jnp.max))
    return (latent - low) / (high - low + 1e-5)


def evaluation(model: Model):
    """(params, key, view_B) -> (logits_BA, value_B), without search."""

    def evaluate(params, key, view_B):
        logits_BA, value = model.predict(params, model.represent(params, view_B))
        return logits_BA, model.scalar(value)

    return evaluate


def plan_by_model(game: Game, policy: Callable, model: Model) -> Plan:
    """Search in the learned model, from what the player to move sees."""

    def recurrent_fn(params, key, action_B, latent_BH):
        action_BA = jax.nn.one_hot(action_B, game.actions)
        latent_BH, reward = model.dynamics(params, latent_BH, action_BA)
        logits_BA, value = model.predict(params, latent_BH)
        reward_B, value_B = model.scalar(reward), model.scalar(value)
        return RecurrentFnOutput(reward_B, -jnp.ones_like(value_B), logits_BA, value_B), latent_BH

    def plan(params, key, state_B):
        legal_BA = jax.vmap(game.legal)(state_B)
        latent_BH = model.represent(params, jax.vmap(game.observe)(state_B))
        logits_BA, value = model.predict(params, latent_BH)
        root = RootFnOutput(masked(logits_BA, legal_BA), model.scalar(value), latent_BH)
        return Choice.of(policy(params, key, root, recurrent_fn, invalid_actions=~legal_BA))

    return plan


def unrolled(params, view_B, action_BKA, model: Model):
    """The model's predictions along K given moves.

    Returns policy logits (B, K + 1, A), value logits (B, K + 1, bins), and reward logits
    (B, K, bins) of the moves.
    """

    def move(latent_BH, action_BA):
        halved = 0.5 * latent_BH + 0.5 * jax.lax.stop_gradient(latent_BH)
        latent_BH, reward = model.dynamics(params, halved, action_BA)
        return latent_BH, (latent_BH, reward)

    start_BH = model.represent(params, view_B)
    _, (latent_KBH, reward) = jax.lax.scan(move, start_BH, jnp.swapaxes(action_BKA, 0, 1))
    latent_BKH = jnp.swapaxes(jnp.concatenate([start_BH[None], latent_KBH]), 0, 1)
    return *model.predict(params, latent_BKH), jnp.swapaxes(reward, 0, 1)


def loss_fn(params, extra, rows: Position, key, model: Model, cfg: Config):
    """Loss of positions (B, K + 1, ...), as in the module's equation."""
    K = cfg.unroll
    logits, value, reward = unrolled(params, rows.view[:, 0], rows.action[:, :K], model)
    over = jnp.cumsum(rows.ended, 1) > 0
    alive = jnp.concatenate([jnp.ones_like(over[:, :1]), ~over[:, :K]], 1)
    log_p = jax.nn.log_softmax(logits)
    weight_K = jnp.concatenate([jnp.ones(1), jnp.full(K, 1 / K)])
    errors = {
        "policy_loss": jnp.where(alive, -jnp.sum(rows.weights * log_p, -1), 0),
        "value_loss": model.error(value, jnp.where(alive, rows.target, 0)),
        "reward_loss": model.error(reward, jnp.where(alive[:, :K], rows.reward[:, :K], 0)),
    }
    terms = {
        name: jnp.mean(error, 0) @ weight_K[-error.shape[1] :] for name, error in errors.items()
    }
    loss = terms["policy_loss"] + cfg.value_weight * terms["value_loss"] + terms["reward_loss"]
    return loss, (extra, terms)


def train_step(
    state: State, batch, key, game: Game, model: Model, tx: optax.GradientTransformation, cfg
):
    """Moves by search in the model, then updates of the model on sequences of the games."""
    policy = policy_of(cfg.play.search, cfg.play.simulations, noise=True)
    plan = plan_by_model(game, policy, model)
    loss = functools.partial(loss_fn, model=model, cfg=cfg)
    return self_play.train_step(state, key, game, plan, loss, tx, cfg.play, cfg.unroll + 1)


def player(game: Game, model: Model, params, simulations: int):
    """MuZero without noise; 0 simulations: the most probable move of the network."""
    if simulations == 0:
        evaluate = evaluation(model)
        see = lambda params, key, state_B: evaluate(params, key, jax.vmap(game.observe)(state_B))
        return prior_player(game, see, params)
    policy = policy_of("gumbel", simulations, noise=False)
    return search_player(plan_by_model(game, policy, model), params)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """MuZero as a System. Raises UserError for an unknown game."""
    game = from_pgx.game(cfg.game)
    model = model_of(cfg, game)
    make = functools.partial(player, game, model)
    step = functools.partial(train_step, game=game, model=model, cfg=cfg)
    return system_of(model.spec, make, step, evaluate, game, cfg, tx)
