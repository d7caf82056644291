"""Self-play: games that one searching player plays against itself, and their training targets."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.core.layout import split_batch
from panorax.rl.games.game import Evaluate, Game, model, moved, random_moves, root


@struct.dataclass
class Position:
    """A position of self-play with the result of its search; all leaves are (N, ...)."""

    view: jax.Array
    """observation of the player to move, (N, *shape)"""
    legal: jax.Array
    """mask of legal actions, (N, A)"""
    weights: jax.Array
    """target of the policy, (N, A)"""
    target: jax.Array
    """target of the value: the outcome for the player to move, (N,)"""


@struct.dataclass
class Games:
    """Statistics of finished games; draws count 0."""

    finished: jax.Array
    """games that ended"""
    first_wins: jax.Array
    """sum of the outcomes for the player who moved first"""


def self_play(
    params,
    game: Game,
    evaluate: Evaluate,
    policy: Callable,
    state_N,
    key: jax.Array,
    length: int,
    opening: int,
):
    """`length` moves in every game, from `state_N`; a finished game is followed by a new one.

    policy: a policy of `panorax.rl.search`.  opening: largest number of random moves that a new
    game starts with.  Returns (state_N, positions (T, N, ...), Games).

    The value target of a game is its outcome. If the game goes on after the last move, it is the
    value of the search in its last position.
    """
    key_open, key_moves = jax.random.split(key)
    new_N = varied_openings(game, key_open, len(jax.tree.leaves(state_N)[0]), opening)

    def move(state_N, key):
        key_root, key_search = jax.random.split(key)
        state_N = jax.tree.map(split_batch, state_N)
        start, illegal_NA = root(game, evaluate, params, key_root, state_N)
        recurrent_fn = model(game, evaluate)
        output = policy(params, key_search, start, recurrent_fn, invalid_actions=illegal_NA)
        after_N, reward_N, discount_N = moved(game, state_N, output.action)
        ended_N = discount_N == 0
        position = Position(
            view=jax.vmap(game.observe)(state_N),
            legal=~illegal_NA,
            weights=output.action_weights,
            target=output.tree.summary().value,
        )
        seat_N = jax.vmap(game.player)(state_N)
        outcome_N = jnp.where(seat_N == 0, reward_N, -reward_N)
        games = Games(ended_N, jnp.where(ended_N, outcome_N, 0))
        facts = (reward_N, discount_N, games)
        return chosen(ended_N, new_N, after_N), (position, facts)

    state_N, (positions, (reward_TN, discount_TN, games)) = jax.lax.scan(
        move, state_N, jax.random.split(key_moves, length)
    )
    target_TN = outcomes(reward_TN, discount_TN, positions.target[-1])
    counted = jax.tree.map(lambda x: jnp.sum(x.astype(jnp.float32)), games)
    return state_N, positions.replace(target=target_TN), counted


def varied_openings(game: Game, key: jax.Array, n: int, most: int):
    """`n` states after 0 to `most` random moves each; a game that ends earlier starts anew."""
    key_moves, key_depth = jax.random.split(key)
    start_N = state_N = game.start(n)
    depth_N = jax.random.randint(key_depth, (n,), 0, most + 1)
    for i in range(most):
        action_N = random_moves(game, jax.random.fold_in(key_moves, i), state_N)
        state_N = chosen(i < depth_N, jax.vmap(game.step)(state_N, action_N), state_N)
    return chosen(jax.vmap(game.terminated)(state_N), start_N, state_N)


def chosen(mask_N: jax.Array, yes, no):
    """Leaves (N, ...) of `yes` where the mask is true, of `no` elsewhere."""
    choose = lambda a, b: jnp.where(mask_N.reshape(-1, *(1,) * (a.ndim - 1)), a, b)
    return jax.tree.map(choose, yes, no)


def outcomes(reward_TN: jax.Array, discount_TN: jax.Array, last_N: jax.Array) -> jax.Array:
    """z_t = reward_t + discount_t z_{t+1}; the last row of a game that goes on is `last_N`."""

    def back(z_N, step):
        reward_N, discount_N = step
        z_N = reward_N + discount_N * z_N
        return z_N, z_N

    final_N = jnp.where(discount_TN[-1] == 0, reward_TN[-1], last_N)
    _, z_TN = jax.lax.scan(back, final_N, (reward_TN[:-1], discount_TN[:-1]), reverse=True)
    return jnp.concatenate([z_TN, final_N[None]])


def reflected(positions: Position, game: Game, key: jax.Array) -> Position:
    """Positions (B, ...) under symmetries of the game, drawn uniformly for each."""
    squares_GS, actions_GA = (jnp.asarray(x) for x in game.symmetries)
    B, shape = len(positions.target), positions.view.shape
    drawn_B = jax.random.randint(key, (B,), 0, len(squares_GS))
    flat_BSC = positions.view.reshape(B, squares_GS.shape[1], -1)
    squares_BS, actions_BA = squares_GS[drawn_B], actions_GA[drawn_B]
    take = lambda x_BA: jnp.take_along_axis(x_BA, actions_BA, 1)
    return positions.replace(
        view=jnp.take_along_axis(flat_BSC, squares_BS[..., None], 1).reshape(shape),
        legal=take(positions.legal),
        weights=take(positions.weights),
    )
