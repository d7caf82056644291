"""Two-player games of pgx (Koyamada et al. 2023) without chance, such as Connect Four."""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import checked
from panorax.rl.environments.from_pgx import load
from panorax.rl.games.game import Game

NAMES = ("tic_tac_toe", "connect_four", "hex", "othello", "animal_shogi", "gardner_chess", "go_9x9")


@checked
class Config:
    """A game of pgx."""

    name: str = "tic_tac_toe"
    """name of a game for two players without chance or hidden information"""


def ids() -> tuple[str, ...]:
    """The names of the games."""
    return NAMES


def game(cfg: Config) -> Game:
    """The game, in which player 0 moves first.

    Raises UserError if pgx is not installed, has no such game, or has it for other players.
    """
    if cfg.name not in NAMES:
        raise UserError(f"game {cfg.name!r} is not one of {', '.join(NAMES)}")
    env = load(cfg.name)

    def init():
        return env.init(jax.random.key(0)).replace(current_player=jnp.int32(0))

    return Game(
        init=init,
        step=env.step,
        legal=lambda state: state.legal_action_mask,
        observe=lambda state: state.observation.astype(jnp.float32),
        player=lambda state: state.current_player,
        rewards=lambda state: state.rewards,
        terminated=lambda state: state.terminated,
        shape=env.observation_shape,
        actions=env.num_actions,
        symmetries=symmetries(cfg.name, env.observation_shape, env.num_actions),
    )


def symmetries(name: str, shape: tuple[int, ...], actions: int) -> tuple[np.ndarray, np.ndarray]:
    """Permutations of squares and of actions: the eight of a square, or the mirror of its columns.

    Games of which Panorax knows none have the identity only.
    """
    Y, X = shape[:2]
    board = np.arange(Y * X).reshape(Y, X)
    if name == "tic_tac_toe":  # an action is a square
        turned = [np.rot90(board, k) for k in range(4)]
        squares = np.stack([x.ravel() for y in turned for x in (y, y[:, ::-1])])
        return squares, squares
    if name == "connect_four":  # an action is a column
        squares = np.stack([board.ravel(), board[:, ::-1].ravel()])
        return squares, np.stack([np.arange(actions), np.arange(actions)[::-1]])
    return board.reshape(1, -1), np.arange(actions)[None]
