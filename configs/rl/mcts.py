"""Tree search with random playouts in tic-tac-toe and Connect Four: strength over simulations.

Command: panorax run rl/mcts
"""

from panorax.core.claims import Claim
from panorax.rl.mcts import Config

CLAIMS = (
    Claim(
        "tic_tac_toe_states",
        "==",
        5478,
        "Panorax: tic-tac-toe has 5,478 reachable positions",
    ),
    Claim(
        "alpha_beta_exact_moves",
        "==",
        1.0,
        "Knuth & Moore 1975: alpha-beta without a depth limit plays as minimax, an optimal move in"
        " every position of tic-tac-toe",
    ),
    Claim(
        "uct_1024_optimal_share",
        ">=",
        0.999,
        "Kocsis & Szepesvari 2006: UCT converges to the optimal move, in tic-tac-toe in 99.9% of"
        " all positions after 1,024 simulations",
    ),
    Claim(
        "uct_16_optimal_share",
        "<",
        "uct_256_optimal_share",
        "Kocsis & Szepesvari 2006: more simulations of UCT find more optimal moves",
    ),
    Claim(
        "lowest_score_of_more_simulations",
        ">",
        0.5,
        "Panorax: UCT beats UCT with a quarter of its simulations in Connect Four, for every pair"
        " (lower end of the 95% interval over seeds)",
    ),
    Claim(
        "alpha_beta_score_high_against_uct",
        "<",
        0.5,
        "Panorax: without an evaluation function alpha-beta loses to UCT at 512 nodes per move in"
        " Connect Four (upper end of the 95% interval over seeds)",
    ),
    Claim(
        "winning_move_share",
        ">=",
        0.5,
        "Panorax: UCT spends most simulations on a winning move",
    ),
)
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
