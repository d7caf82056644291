"""AlphaZero on tic-tac-toe: self-play from nothing to moves that no opponent beats.

Command: panorax run rl/alphazero
"""

from panorax.core.config import Run
from panorax.rl.alphazero import Config
from panorax.rl.torsos import mlp

CLAIMS = ()
ORACLE = "the exact solution of tic-tac-toe; mctx's trees, visit by visit"


def get_config() -> Config:
    return Config(torso=mlp.Config(hidden=(256, 256)), run=Run(steps=300, chunk=25, eval_every=100))


def smoke() -> Config:
    return Config(
        torso=mlp.Config(hidden=(8,)),
        run=Run(steps=4, chunk=2),
        games=8,
        length=2,
        simulations=2,
        capacity=4,
        batch=8,
        updates=1,
        play_simulations=2,
        eval_games=8,
        opponent=1,
        elo_simulations=(1,),
        elo_games=2,
    )
