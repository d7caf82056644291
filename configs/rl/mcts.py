"""Tree search with random playouts in tic-tac-toe and Connect Four: strength over simulations.

Command: panorax run rl/mcts
"""

from panorax.rl.mcts import Config

CLAIMS = ()
ORACLE = "mctx's trees, visit by visit; the exact solution of tic-tac-toe"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        exact_simulations=(2,),
        simulations=(1, 2),
        equal=2,
        games=2,
        seeds=2,
        positions=20,
    )
