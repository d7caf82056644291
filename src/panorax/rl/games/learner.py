"""A player that learns from games against itself, as a System."""

import functools
from collections.abc import Callable

import jax
import optax

from panorax.core import spec as core_spec
from panorax.core.optim import optimizer
from panorax.core.state import State, System, first_state
from panorax.rl.games import self_play, strength
from panorax.rl.games.game import Game


def evaluate(state: State, batch, key: jax.Array, make: Callable, game: Game, cfg):
    """Score of the network without search, make(params, 0), against UCT."""
    return strength.evaluate(make(state.params, 0), key, game, cfg.report)


def system_of(
    spec,
    make: Callable,
    train_step: Callable,
    evaluate: Callable,
    game: Game,
    cfg,
    tx: optax.GradientTransformation | None,
) -> System:
    """The System of a method that learns by self-play.

    spec: parameters of the network.
    make: make(params, simulations) is the player; without simulations it moves by its network.
    train_step: train_step(state, batch, key, tx=tx).
    evaluate: evaluate(state, batch, key, make, game, cfg).
    cfg: has `run`, `optim`, `play` (self_play.Config) and `report` (strength.Config).
    tx: replaces the optimiser.
    """
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.play.updates, spec)

    def init_state(key):
        key_params, key_games = jax.random.split(key)
        extra = self_play.first_extra(game, key_games, cfg.play)
        return first_state(core_spec.init(spec, key_params), tx, extra)

    return System(
        spec=spec,
        init_state=init_state,
        train_step=functools.partial(train_step, tx=tx),
        evaluate=functools.partial(evaluate, make=make, game=game, cfg=cfg),
        report=lambda state, key: strength.report(make, state.params, key, game, cfg.report),
        extra_axes=self_play.EXTRA_AXES,
        per_step=cfg.play.per_step(),
    )
