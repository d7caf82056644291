"""AlphaZero on tic-tac-toe: self-play from nothing to moves that no opponent beats.

Command: panorax run rl/alphazero
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.alphazero import Config
from panorax.rl.games import self_play, strength
from panorax.rl.torsos import mlp

CLAIMS = (
    Claim(
        "search_never_loses",
        "==",
        1.0,
        "Silver et al. 2018: self-play masters a game; in tic-tac-toe no opponent beats the search,"
        " whatever it opens with",
    ),
    Claim(
        "network_never_loses",
        "==",
        1.0,
        "Panorax: after training no opponent beats the network without search in tic-tac-toe",
    ),
    Claim(
        "search_optimal_share",
        ">=",
        0.999,
        "Panorax: the search with the network keeps the exact value in 99.9% of all positions of"
        " tic-tac-toe",
    ),
)
ORACLE = "the exact solution of tic-tac-toe; mctx's trees, visit by visit"


SMALL_PLAY = self_play.Config(games=8, length=2, simulations=2, capacity=4, batch=8, updates=1)
SMALL_REPORT = strength.Config(
    games=8, opponent=1, exact_simulations=2, elo_simulations=(1,), elo_games=2
)


def get_config() -> Config:
    return Config(
        torso=mlp.Config(hidden=(256, 256)),
        run=Run(steps=300, chunk=25, eval_every=100),
        starts=3,
    )


def smoke() -> Config:
    return Config(
        torso=mlp.Config(hidden=(8,)),
        run=Run(steps=4, chunk=2),
        play=SMALL_PLAY,
        teacher_steps=1,
        teacher_simulations=2,
        report=SMALL_REPORT,
        starts=1,
        start_steps=1,
    )
