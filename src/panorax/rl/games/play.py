"""Players, matches between players, and ratings from the scores of matches.

A player is a function (key, state_B) -> action_B that moves for the player to move. A plan is a
search in such states: (params, key, state_B) -> Choice.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.ops.distributions import masked
from panorax.rl import search
from panorax.rl.games.game import Evaluate, Game, model, moved, playouts, random_moves, root

Player = Callable  # (key, state_B) -> action_B
Plan = Callable  # (params, key, state_B) -> Choice


class Choice(NamedTuple):
    """What a search finds in states (B, ...)."""

    action: jax.Array
    """the move, (B,)"""
    weights: jax.Array
    """target of a policy, (B, A)"""
    value: jax.Array
    """mean return of the simulations for the player to move, (B,)"""

    @classmethod
    def of(cls, output: search.PolicyOutput) -> "Choice":
        """The result of a policy of `panorax.rl.search`."""
        return cls(output.action, output.action_weights, output.tree.summary().value)


def random_player(game: Game) -> Player:
    """Moves uniformly at random."""
    return functools.partial(random_moves, game)


def policy_of(name: str, simulations: int, noise: bool) -> Callable:
    """The search `gumbel` or `puct` of self-play, with or without noise at the root.

    Returns of a game are between -1 and 1. Values keep this scale: stretched to [0, 1] in each
    node, the errors of equally good moves would outweigh the prior.
    """
    if name == "gumbel":
        as_it_is = functools.partial(search.completed_by_mix_value, rescale_values=False)
        options = {"qtransform": as_it_is, "gumbel_scale": 1.0 if noise else 0.0}
        policy = search.gumbel_muzero_policy
    else:
        by_range = functools.partial(search.by_min_max, min_value=-1.0, max_value=1.0)
        options = {"qtransform": by_range, "temperature": 1.0 if noise else 0.0}
        options |= {} if noise else {"dirichlet_fraction": 0.0}
        policy = search.muzero_policy
    return functools.partial(policy, num_simulations=simulations, **options)


def plan_by_rules(game: Game, policy: Callable, evaluate: Evaluate) -> Plan:
    """Search with the rules of the game as its model.

    policy: a policy of `panorax.rl.search` with all options but the first four and the mask.
    """

    def plan(params, key, state_B):
        key_root, key_search = jax.random.split(key)
        start, illegal_BA = root(game, evaluate, params, key_root, state_B)
        recurrent_fn = model(game, evaluate)
        return Choice.of(
            policy(params, key_search, start, recurrent_fn, invalid_actions=illegal_BA)
        )

    return plan


def search_player(plan: Plan, params=()) -> Player:
    """Moves by search."""
    return lambda key, state_B: plan(params, key, state_B).action


def prior_player(game: Game, evaluate: Evaluate, params=()) -> Player:
    """The most probable legal move of the prior, without search."""

    def act(key, state_B):
        logits_BA, _ = evaluate(params, key, state_B)
        return jnp.argmax(masked(logits_BA, jax.vmap(game.legal)(state_B)), -1)

    return act


def plan_by_playouts(game: Game, simulations: int, exploration: float) -> Plan:
    """UCT with one random playout per simulation."""
    policy = functools.partial(
        search.uct_policy, num_simulations=simulations, exploration=exploration
    )
    return plan_by_rules(game, policy, playouts(game))


def uct_player(game: Game, simulations: int, exploration: float) -> Player:
    """Moves by `plan_by_playouts`."""
    return search_player(plan_by_playouts(game, simulations, exploration))


def openings(game: Game, key: jax.Array, n: int, moves: int):
    """`n` states after `moves` uniformly random moves each."""
    state_B = game.start(n)
    for i in range(moves):
        action_B = random_moves(game, jax.random.fold_in(key, i), state_B)
        state_B = jax.vmap(game.step)(state_B, action_B)
    return state_B


def match(game: Game, one: Player, two: Player, key: jax.Array, state_B) -> jax.Array:
    """Returns of `one` against `two` in two games from each state, (2B,).

    `one` is to move in the first B games, and `two` in the last B games. The players alternate, and
    the sum of their rewards is 0.
    """

    def unfinished(carry):
        _, games, _ = carry
        return ~jnp.all(jnp.concatenate([jax.vmap(game.terminated)(states) for states, _ in games]))

    def move(carry):
        """Both players move in their games; then the games change hands."""
        key, ((mine_B, won_B), (theirs_B, lost_B)), turn = carry
        key, key_one, key_two = jax.random.split(key, 3)
        mine_B, reward_B, _ = moved(game, mine_B, one(key_one, mine_B))
        theirs_B, penalty_B, _ = moved(game, theirs_B, two(key_two, theirs_B))
        return key, ((theirs_B, lost_B - penalty_B), (mine_B, won_B + reward_B)), 1 - turn

    zero_B = jnp.zeros(len(jax.tree.leaves(state_B)[0]))
    begin = (key, ((state_B, zero_B), (state_B, zero_B)), jnp.int32(0))
    _, ((_, first_B), (_, second_B)), turn = jax.lax.while_loop(unfinished, move, begin)
    returns = jnp.concatenate([first_B, second_B])
    return jnp.where(turn == 0, returns, jnp.concatenate([second_B, first_B]))


def pair(game: Game, one: Player, two: Player, key: jax.Array, games: int, moves: int):
    """Returns of `one` against `two` in `games` games that start after `moves` random moves.

    Each opening is played twice, once with each player to move.
    """
    key_open, key_match = jax.random.split(key)
    return match(game, one, two, key_match, openings(game, key_open, games // 2, moves))


def score(returns) -> float:
    """Share of points: a win counts 1 and a draw 1/2."""
    return float(np.mean((1 + np.asarray(returns)) / 2))


def elo(scores: dict[tuple[int, int], np.ndarray], players: int) -> np.ndarray:
    """Ratings of maximum likelihood under P(i beats j) = 1 / (1 + 10^((R_j - R_i) / 400)).

    scores: returns of player i against j, by (i, j); a draw counts as half a win. One virtual draw
    per pair keeps the ratings finite. The ratings have mean 0.

    Source: Elo 1978; Bradley & Terry 1952.
    """
    wins = np.zeros((players, players))
    for (i, j), returns in scores.items():
        points = (1 + np.asarray(returns, np.float64)) / 2
        wins[i, j] += points.sum() + 0.5
        wins[j, i] += (1 - points).sum() + 0.5
    games, strength = wins + wins.T, np.ones(players)
    for _ in range(5000):  # the minorise-maximise iteration of Hunter 2004
        strength = wins.sum(1) / (games / (strength[:, None] + strength[None])).sum(1)
        strength /= np.exp(np.log(strength).mean())
    return 400 * np.log10(strength)
