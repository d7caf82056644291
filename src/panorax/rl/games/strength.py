"""The strength of a player with a network: ratings over simulations, and exact results.

A game whose observation has at most 20 bits is solved, and the player moves in every position of
it: `never_loses` is 1 if no opponent at all beats the player, from either seat.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths.estimates import mean_interval
from panorax.rl.games.game import Game
from panorax.rl.games.play import Player, elo, pair, score, uct_player
from panorax.rl.games.solution import (
    Solution,
    in_chunks,
    optimal_share,
    solve,
    worst_returns,
)

OPENING = 2  # random moves before a rated game
EXACT_BITS = 20  # largest number of entries of an observation of a game that is solved


@checked
class Config:
    """Evaluations in training, and the matches and ratings of the report."""

    games: Count = 64
    """games of an evaluation"""
    opponent: Count = 64
    """simulations per move of the opponent in evaluations, UCT with random playouts"""
    exact_simulations: Count = 32
    """simulations per move in every position of a solved game"""
    elo_simulations: tuple[Count, ...] = (2, 8, 32)
    """simulations per move of the searches that are rated beside the network alone"""
    elo_games: Count = 64
    """games of each rated pair"""
    last_opponent: Whole = 0
    """simulations per move of UCT in the last match; 0: no match"""
    last_simulations: Count = 128
    """simulations per move of the player in that match"""
    last_games: Count = 100
    """games of that match"""

    def __post_init__(self):
        if self.games % 2 or self.elo_games % 2 or self.last_games % 2:
            raise ValueError("the games of a match must be even: each opening is played twice")


def in_every_state(player: Player, solution: Solution, key) -> np.ndarray:
    """The player's action in every state of a solved game, (N,)."""
    act = jax.jit(player)
    return in_chunks(lambda states: act(key, states), solution.states)


def evaluate(player: Player, key, game: Game, cfg: Config):
    """Score of a player against UCT in games after two random moves, for `System.evaluate`."""
    returns = pair(game, player, uct_player(game, cfg.opponent, 1.0), key, cfg.games, OPENING)
    return {"eval_score": (jnp.sum((1 + returns) / 2), cfg.games)}


def report(make: Callable, params, key, game: Game, cfg: Config) -> Result:
    """Ratings, exact results of a small game, and a match against UCT.

    make(params, simulations) is the player.
    """
    key_elo, key_exact, key_match = jax.random.split(key, 3)
    result = rated(make, params, key_elo, game, cfg)
    metrics = dict(result.metrics)
    if math.prod(game.shape) <= EXACT_BITS:
        metrics |= exact(make, params, key_exact, game, cfg.exact_simulations)
    if cfg.last_opponent:
        play = jax.jit(
            lambda params, key: pair(
                game,
                make(params, cfg.last_simulations),
                uct_player(game, cfg.last_opponent, 1.0),
                key,
                cfg.last_games,
                OPENING,
            )
        )
        returns = play(params, key_match)
        low, _ = mean_interval((1 + np.asarray(returns)) / 2)
        metrics |= family("score_against_uct_{}", {cfg.last_opponent: score(returns)})
        metrics |= family("score_against_uct_{}_low", {cfg.last_opponent: low})
    return Result(metrics, result.figures)


def rated(make: Callable, params, key, game: Game, cfg: Config) -> Result:
    """Elo ratings of the network alone and of its searches, relative to the network alone."""
    sizes, returns = (0, *cfg.elo_simulations), {}
    for i in range(len(sizes)):
        for j in range(i):
            play = lambda params, key, i=i, j=j: pair(
                game, make(params, sizes[i]), make(params, sizes[j]), key, cfg.elo_games, OPENING
            )
            key_pair = jax.random.fold_in(key, len(sizes) * i + j)
            returns[i, j] = np.asarray(jax.jit(play)(params, key_pair))
    ratings = elo(returns, len(sizes))
    ratings -= ratings[0]
    low, _ = mean_interval((1 + returns[len(sizes) - 1, 0]) / 2)
    metrics = family("elo_{}_above_network", dict(zip(sizes[1:], ratings[1:], strict=True)))
    metrics["search_against_network"] = score(returns[len(sizes) - 1, 0])
    metrics["search_against_network_low"] = low
    return Result(metrics, {"elo.png": draw_ratings(sizes, ratings)})


def exact(make: Callable, params, key, game: Game, simulations: int) -> dict[str, float]:
    """Optimal moves and worst returns of the search and of the network alone."""
    solution, metrics = solve(game), {}
    for name, size in (("search", simulations), ("network", 0)):
        actions = in_every_state(make(params, size), solution, key)
        worst = worst_returns(solution, actions)
        facts = {
            "optimal_share": optimal_share(solution, actions),
            "never_loses": float(min(worst) >= 0),
        }
        metrics |= family("{}_{}", {(name, fact): x for fact, x in facts.items()})
    return metrics


def draw_ratings(sizes: tuple[int, ...], ratings: np.ndarray):
    """Elo ratings over simulations, with the network alone at the left end."""
    figure, (ax,) = figures.panels()
    ax.plot(range(len(sizes)), ratings, "o-")
    ax.set_xticks(range(len(sizes)), ["network\nalone", *map(str, sizes[1:])])
    ax.set(
        title="search with the network",
        xlabel="simulations per move",
        ylabel="Elo above the network alone",
    )
    return figure
