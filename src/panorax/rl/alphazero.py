"""AlphaZero: a network and a tree search that improve each other by self-play.

The network gives the prior p and the value v of a position to the search; the search gives action
weights pi and, at the end of the game, the outcome z to the network:

    loss = -sum_a pi_a log p_a + value_weight (z - v)^2

A training step plays `length` moves in N games, stores the positions in the replay, and makes
`updates` updates on positions drawn from it, each under a random symmetry of the game. With the
Gumbel search the weights are the improved policy softmax(logits + Q) (Danihelka et al. 2022); with
PUCT they are the shares of visits.
Source: Silver et al. 2018 (doi:10.1126/science.aar6404).
"""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.layout import split_batch
from panorax.core.net import Net, stateless
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Whole, checked
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.distributions import masked
from panorax.rl import search
from panorax.rl.games import from_pgx, strength
from panorax.rl.games.game import Evaluate, Game
from panorax.rl.games.play import pair, search_player, uct_player
from panorax.rl.games.self_play import Position, reflected, self_play, varied_openings
from panorax.rl.replay import uniform
from panorax.rl.torsos import mlp, residual

UNITS = {"policy_loss": "nats", "game_length": "moves"}


@checked
class Config:
    game: from_pgx.Config = from_pgx.Config()
    """game of two players"""
    torso: mlp.Config | residual.Config = residual.Config()
    """network before the policy and value heads"""
    optim: Optimizer = AdamW(peak_lr=2e-3, schedule="cosine", weight_decay=1e-4, clip=1.0)
    """optimiser of all parameters"""
    run: Run = Run(steps=400, chunk=10)
    """training steps, evaluations and checkpoints"""
    games: Count = 64
    """parallel games of self-play [N]"""
    length: Count = 9
    """moves per game and training step"""
    simulations: Count = 32
    """simulations per move of self-play"""
    opening: Whole = 4
    """largest number of random moves at the start of a game of self-play, for variety"""
    search: Literal["gumbel", "puct"] = "gumbel"
    """search of self-play"""
    capacity: Count = 180
    """positions of each game in the replay, a multiple of the length"""
    batch: Count = 256
    """positions per update [B]"""
    updates: Count = 8
    """updates per training step"""
    value_weight: NonNegative = 1.0
    """weight of the value's error"""
    augment: bool = True
    """train on a random symmetry of each position"""
    play_simulations: Count = 32
    """simulations per move in every position of a solved game"""
    eval_games: Count = 64
    """games of an evaluation"""
    opponent: Count = 64
    """simulations per move of the opponent in evaluations, UCT with random playouts"""
    elo_simulations: tuple[Count, ...] = (2, 8, 32)
    """simulations per move of the searches that the report rates beside the network alone"""
    elo_games: Count = 64
    """games of each pair that the report rates"""
    last_opponent: Whole = 0
    """simulations per move of UCT in the report's match; 0: no match"""
    last_simulations: Count = 128
    """simulations per move of AlphaZero in that match"""
    last_games: Count = 100
    """games of that match"""

    def __post_init__(self):
        if self.capacity % self.length:
            raise ValueError(
                f"capacity {self.capacity} must be a multiple of the length {self.length}"
            )
        if self.eval_games % 2 or self.elo_games % 2 or self.last_games % 2:
            raise ValueError("the games of a match must be even: each opening is played twice")


@struct.dataclass
class Extra:
    """State of self-play."""

    games: Any
    """running games (N, ...)"""
    replay: uniform.Replay
    """positions of the last moves"""


def network(cfg: Config, game: Game) -> Net:
    """Maps observations (B, *shape) to prior logits (B, A) and values (B,) in [-1, 1]."""
    torso = module_of(cfg.torso).torso(cfg.torso, game.shape)
    spec = {
        "torso": torso.spec,
        "policy": dense_spec(torso.width, game.actions, fan_in(0.1)),
        "value": dense_spec(torso.width, 1, fan_in(0.1)),
    }

    def apply(params, view):
        x = torso.apply(params["torso"], view)
        return dense(params["policy"], x), jnp.tanh(dense(params["value"], x)[:, 0])

    return stateless(spec, apply)


def evaluation(game: Game, net: Net) -> Evaluate:
    """The network as the evaluation of a search."""
    return lambda params, key, state_B: net.apply(params, (), jax.vmap(game.observe)(state_B))[0]


def policy_of(name: str, simulations: int, noise: bool):
    """The search `gumbel` or `puct` of AlphaZero, with or without noise at the root."""
    if name == "gumbel":
        options = {"gumbel_scale": 1.0 if noise else 0.0}
        policy = search.gumbel_muzero_policy
    else:
        by_range = functools.partial(search.by_min_max, min_value=-1.0, max_value=1.0)
        options = {"qtransform": by_range, "temperature": 1.0 if noise else 0.0}
        options |= {} if noise else {"dirichlet_fraction": 0.0}
        policy = search.muzero_policy
    return functools.partial(policy, num_simulations=simulations, **options)


def loss_fn(params, extra, batch: Position, key, net: Net, cfg: Config):
    """Loss of positions (B, ...), as in the module's equation."""
    (logits_BA, value_B), _ = net.apply(params, (), batch.view.astype(jnp.float32))
    log_p_BA = jax.nn.log_softmax(masked(logits_BA, batch.legal))
    policy_loss = -jnp.mean(jnp.sum(jnp.where(batch.legal, batch.weights * log_p_BA, 0), -1))
    value_loss = jnp.mean(jnp.square(batch.target - value_B))
    metrics = {"policy_loss": policy_loss, "value_loss": value_loss}
    return policy_loss + cfg.value_weight * value_loss, (extra, metrics)


def train_step(
    state: State, batch, key, game: Game, net: Net, tx: optax.GradientTransformation, cfg: Config
):
    """Moves of self-play, then updates on positions from the replay."""
    key_play, key_updates = jax.random.split(key)
    evaluate, policy = evaluation(game, net), policy_of(cfg.search, cfg.simulations, noise=True)
    games, positions, played = self_play(
        state.params,
        game,
        evaluate,
        policy,
        state.extra.games,
        key_play,
        cfg.length,
        cfg.opening,
    )
    stored = uniform.add(state.extra.replay, positions)
    loss = functools.partial(loss_fn, net=net, cfg=cfg)

    def one_update(carry, key):
        key_draw, key_reflect, key_loss = jax.random.split(key, 3)
        rows = jax.tree.map(lambda x: x[:, 0], uniform.draw(stored, key_draw, cfg.batch))
        rows = reflected(rows, game, key_reflect) if cfg.augment else rows
        rows = jax.tree.map(split_batch, rows)
        params, opt, _, metrics = update(loss, tx, *carry, (), rows, key_loss)
        return (params, opt), metrics

    keys = jax.random.split(key_updates, cfg.updates)
    (params, opt), metrics = jax.lax.scan(one_update, (state.params, state.opt), keys)
    finished = jnp.maximum(played.finished, 1)
    metrics = jax.tree.map(jnp.mean, metrics) | {
        "game_length": cfg.games * cfg.length / finished,
        "first_player_outcome": played.first_wins / finished,
    }
    return State(params, opt, Extra(games, stored), state.step + 1), metrics


def player(game: Game, net: Net, params, simulations: int):
    """AlphaZero without noise; 0 simulations: the most probable move of the network."""
    if simulations == 0:
        logits = lambda state_B: evaluation(game, net)(params, None, state_B)[0]
        legal = jax.vmap(game.legal)
        return lambda key, state_B: jnp.argmax(masked(logits(state_B), legal(state_B)), -1)
    policy = policy_of("gumbel", simulations, noise=False)
    return search_player(game, policy, evaluation(game, net), params)


def evaluate(state: State, batch, key, game: Game, net: Net, cfg: Config):
    """Score of the network without search against UCT, in games after two random moves."""
    ours, theirs = player(game, net, state.params, 0), uct_player(game, cfg.opponent, 1.0)
    returns = pair(game, ours, theirs, key, cfg.eval_games, 2)
    return {"eval_score": (jnp.sum((1 + returns) / 2), cfg.eval_games)}


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """AlphaZero as a System. Raises UserError for an unknown game."""
    game = from_pgx.game(cfg.game)
    net = network(cfg, game)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.updates, net.spec)

    def init_state(key):
        key_params, key_games = jax.random.split(key)
        games = varied_openings(game, key_games, cfg.games, cfg.opening)
        row = Position(
            view=jax.vmap(game.observe)(games),
            legal=jax.vmap(game.legal)(games),
            weights=jnp.zeros((cfg.games, game.actions)),
            target=jnp.zeros(cfg.games),
        )
        extra = Extra(games, uniform.empty(row, cfg.capacity))
        return first_state(core_spec.init(net.spec, key_params), tx, extra)

    def report(state, key):
        make = functools.partial(player, game, net)
        return strength.report(make, state.params, key, game, cfg)

    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, game=game, net=net, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, game=game, net=net, cfg=cfg),
        report=report,
        extra_axes=Extra(games=("batch",), replay=uniform.Replay(("batch",), None, None)),
        per_step={
            "positions": cfg.games * cfg.length,
            "simulations": cfg.games * cfg.length * cfg.simulations,
        },
    )
