"""Self-play: games of a searching player against itself, and updates of its network on them.

A training step plays `length` moves in N games, stores the positions in the replay, and makes
`updates` updates on sequences drawn from it.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from panorax.core import struct
from panorax.core.layout import split_batch
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import State
from panorax.core.step import update
from panorax.rl.games.game import Game, moved, random_moves
from panorax.rl.games.play import Choice, Plan
from panorax.rl.replay import uniform


@checked
class Config:
    """Games of self-play, their search, and the replay of their positions."""

    games: Count = 64
    """parallel games [N]"""
    length: Count = 9
    """moves per game and training step"""
    opening: Whole = 4
    """largest number of random moves at the start of a game, for variety"""
    search: Literal["gumbel", "puct"] = "gumbel"
    """search of every move"""
    simulations: Count = 32
    """simulations per move"""
    capacity: Count = 180
    """positions of each game in the replay, a multiple of the length"""
    batch: Count = 256
    """positions per update [B]"""
    updates: Count = 8
    """updates per training step"""
    augment: bool = True
    """train on a random symmetry of each position"""

    def __post_init__(self):
        if self.capacity % self.length:
            raise ValueError(
                f"capacity {self.capacity} must be a multiple of the length {self.length}"
            )

    def per_step(self) -> dict[str, int]:
        """What a training step consumes."""
        positions = self.games * self.length
        return {"positions": positions, "simulations": positions * self.simulations}


@struct.dataclass
class Position:
    """A position of self-play, the result of its search, and its move; leaves are (N, ...)."""

    view: jax.Array
    """observation of the player to move, (N, *shape)"""
    legal: jax.Array
    """mask of legal actions, (N, A)"""
    weights: jax.Array
    """target of the policy, (N, A)"""
    target: jax.Array
    """target of the value: the outcome for the player to move, (N,)"""
    action: jax.Array
    """the move, one-hot (N, A)"""
    reward: jax.Array
    """reward of the move for its player, (N,)"""
    ended: jax.Array
    """true if the move ended the game, (N,)"""


@struct.dataclass
class Games:
    """Statistics of finished games; draws count 0."""

    finished: jax.Array
    """games that ended"""
    first_wins: jax.Array
    """sum of the outcomes for the player who moved first"""


@struct.dataclass
class Extra:
    """State of self-play."""

    games: Any
    """running games (N, ...)"""
    replay: uniform.Replay
    """positions of the last moves"""


EXTRA_AXES = Extra(games=("batch",), replay=uniform.Replay(("batch",), None, None))


def first_extra(game: Game, key: jax.Array, cfg: Config) -> Extra:
    """Games after their openings, and an empty replay."""
    games, zeros = varied_openings(game, key, cfg.games, cfg.opening), jnp.zeros(cfg.games)
    actions = jnp.zeros((cfg.games, game.actions))
    row = Position(
        view=jax.vmap(game.observe)(games),
        legal=jax.vmap(game.legal)(games),
        weights=actions,
        target=zeros,
        action=actions,
        reward=zeros,
        ended=zeros > 0,
    )
    return Extra(games, uniform.empty(row, cfg.capacity))


def train_step(
    state: State,
    key: jax.Array,
    game: Game,
    plan: Plan,
    loss_fn: Callable,
    tx: optax.GradientTransformation,
    cfg: Config,
    length: int = 1,
):
    """Moves by plan(params, key, state_N), then updates on sequences of `length` positions.

    loss_fn(params, (), rows, key) is the loss of positions (B, length, ...), as in `core.step`.
    """
    key_play, key_updates = jax.random.split(key)
    think = lambda key, state_N: plan(state.params, key, state_N)
    games, positions, played = self_play(
        game, think, state.extra.games, key_play, cfg.length, cfg.opening
    )
    stored = uniform.add(state.extra.replay, positions)

    def one_update(carry, key):
        key_draw, key_reflect, key_loss = jax.random.split(key, 3)
        rows = uniform.draw(stored, key_draw, cfg.batch, length)
        rows = reflected(rows, game, key_reflect) if cfg.augment else rows
        rows = jax.tree.map(split_batch, rows)
        params, opt, _, metrics = update(loss_fn, tx, *carry, (), rows, key_loss)
        return (params, opt), metrics

    keys = jax.random.split(key_updates, cfg.updates)
    (params, opt), metrics = jax.lax.scan(one_update, (state.params, state.opt), keys)
    finished = jnp.maximum(played.finished, 1)
    metrics = jax.tree.map(jnp.mean, metrics) | {
        "game_length": cfg.games * cfg.length / finished,
        "first_player_outcome": played.first_wins / finished,
    }
    return State(params, opt, Extra(games, stored), state.step + 1), metrics


def self_play(
    game: Game,
    think: Callable[[jax.Array, Any], Choice],
    state_N,
    key: jax.Array,
    length: int,
    opening: int,
):
    """`length` moves in every game, from `state_N`; a finished game is followed by a new one.

    think(key, state_N): the search.  opening: largest number of random moves that a new game
    starts with.  Returns (state_N, positions (T, N, ...), Games).

    The value target of a game is its outcome. If the game goes on after the last move, it is the
    value of the search in its last position.
    """
    key_open, key_moves = jax.random.split(key)
    new_N = varied_openings(game, key_open, len(jax.tree.leaves(state_N)[0]), opening)

    def move(state_N, key):
        state_N = jax.tree.map(split_batch, state_N)
        choice = think(key, state_N)
        after_N, reward_N, discount_N = moved(game, state_N, choice.action)
        ended_N = discount_N == 0
        position = Position(
            view=jax.vmap(game.observe)(state_N),
            legal=jax.vmap(game.legal)(state_N),
            weights=choice.weights,
            target=choice.value,
            action=jax.nn.one_hot(choice.action, game.actions),
            reward=reward_N,
            ended=ended_N,
        )
        seat_N = jax.vmap(game.player)(state_N)
        outcome_N = jnp.where(seat_N == 0, reward_N, -reward_N)
        games = Games(ended_N, jnp.where(ended_N, outcome_N, 0))
        return chosen(ended_N, new_N, after_N), (position, discount_N, games)

    state_N, (positions, discount_TN, games) = jax.lax.scan(
        move, state_N, jax.random.split(key_moves, length)
    )
    target_TN = outcomes(positions.reward, discount_TN, positions.target[-1])
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
    """Positions (B, L, ...) under symmetries of the game, drawn uniformly for each sequence."""
    squares_GS, actions_GA = (jnp.asarray(x) for x in game.symmetries)
    shape = positions.view.shape
    drawn_B = jax.random.randint(key, shape[:1], 0, len(squares_GS))
    flat = positions.view.reshape(*shape[:2], squares_GS.shape[1], -1)
    take = lambda x_BLA: jnp.take_along_axis(x_BLA, actions_GA[drawn_B][:, None], 2)
    return positions.replace(
        view=jnp.take_along_axis(flat, squares_GS[drawn_B][:, None, :, None], 2).reshape(shape),
        legal=take(positions.legal),
        weights=take(positions.weights),
        action=take(positions.action),
    )
