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

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from panorax.core.config import Run, module_of
from panorax.core.net import Net, stateless
from panorax.core.optim import AdamW, Optimizer
from panorax.core.ranges import Count, NonNegative, Whole, checked
from panorax.core.state import Result, State, System
from panorax.core.study import joined
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.distributions import masked
from panorax.rl.games import from_pgx, self_play, strength
from panorax.rl.games.game import Evaluate, Game
from panorax.rl.games.learner import evaluate, system_of
from panorax.rl.games.play import (
    plan_by_playouts,
    plan_by_rules,
    policy_of,
    prior_player,
    search_player,
)
from panorax.rl.games.self_play import Position
from panorax.rl.games.starts import compared_starts
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
    play: self_play.Config = self_play.Config()
    """self-play and updates on its positions"""
    value_weight: NonNegative = 1.0
    """weight of the value's error"""
    teacher_steps: Whole = 0
    """first training steps, in which UCT with random playouts plays both sides"""
    teacher_simulations: Count = 64
    """simulations per move of that teacher"""
    report: strength.Config = strength.Config()
    """evaluations and the report"""
    starts: Whole = 0
    """seeds of the comparison of a supervised start with pure self-play; 0: none"""
    start_steps: Count = 40
    """training steps of that comparison, a quarter of them with the teacher"""


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


def loss_fn(params, extra, rows: Position, key, net: Net, cfg: Config):
    """Loss of positions (B, 1, ...), as in the module's equation."""
    batch = jax.tree.map(lambda x: x[:, 0], rows)
    (logits_BA, value_B), _ = net.apply(params, (), batch.view.astype(jnp.float32))
    log_p_BA = jax.nn.log_softmax(masked(logits_BA, batch.legal))
    policy_loss = -jnp.mean(jnp.sum(jnp.where(batch.legal, batch.weights * log_p_BA, 0), -1))
    value_loss = jnp.mean(jnp.square(batch.target - value_B))
    metrics = {"policy_loss": policy_loss, "value_loss": value_loss}
    return policy_loss + cfg.value_weight * value_loss, (extra, metrics)


def train_step(
    state: State, batch, key, game: Game, net: Net, tx: optax.GradientTransformation, cfg: Config
):
    """Moves of the search, or of the teacher in the first steps; then updates on positions."""
    policy = policy_of(cfg.play.search, cfg.play.simulations, noise=True)
    plan = plan_by_rules(game, policy, evaluation(game, net))
    if cfg.teacher_steps:
        teacher = plan_by_playouts(game, cfg.teacher_simulations, 1.0)
        taught = state.step < cfg.teacher_steps
        own, plan = plan, lambda *args: jax.lax.cond(taught, teacher, own, *args)
    loss = functools.partial(loss_fn, net=net, cfg=cfg)
    return self_play.train_step(state, key, game, plan, loss, tx, cfg.play)


def player(game: Game, net: Net, params, simulations: int):
    """AlphaZero without noise; 0 simulations: the most probable move of the network."""
    evaluate = evaluation(game, net)
    if simulations == 0:
        return prior_player(game, evaluate, params)
    policy = policy_of("gumbel", simulations, noise=False)
    return search_player(plan_by_rules(game, policy, evaluate), params)


def starts(make: Callable, game: Game, cfg: Config, key: jax.Array) -> Result:
    """A supervised start and pure self-play on the same seeds."""
    quarter = -(-cfg.start_steps // 4)
    start = lambda teacher_steps: system(
        dataclasses.replace(cfg, teacher_steps=teacher_steps, starts=0)
    )
    variants = {"pure_self_play": start(0), "supervised_start": start(quarter)}
    return compared_starts(variants, make, game, cfg.start_steps, quarter, cfg.starts, key)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """AlphaZero as a System. Raises UserError for an unknown game."""
    game = from_pgx.game(cfg.game)
    net = network(cfg, game)
    make = functools.partial(player, game, net)
    step = functools.partial(train_step, game=game, net=net, cfg=cfg)
    plain = system_of(net.spec, make, step, evaluate, game, cfg, tx)
    if cfg.starts == 0:
        return plain
    report = lambda state, key: joined([plain.report(state, key), starts(make, game, cfg, key)])
    return dataclasses.replace(plain, report=report)
