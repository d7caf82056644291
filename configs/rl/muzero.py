"""MuZero on tic-tac-toe: search in a model that it learns without the rules.

Command: panorax run rl/muzero
"""

from panorax.configs.rl.alphazero import SMALL_PLAY, SMALL_REPORT

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.games import self_play
from panorax.rl.muzero import Config
from panorax.rl.torsos import mlp

CLAIMS = (
    Claim(
        "search_never_loses",
        "==",
        1.0,
        "Schrittwieser et al. 2020: MuZero masters a game without its rules; in tic-tac-toe no"
        " opponent beats the search in the learned model, whatever it opens with, as for"
        " rl/alphazero with the rules",
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
        0.995,
        "Panorax: the search in the learned model keeps the exact value in 99.5% of all positions"
        " of tic-tac-toe",
    ),
)
ORACLE = "the exact solution of tic-tac-toe; the losses written out; mctx's trees, visit by visit"


def get_config() -> Config:
    return Config(run=Run(steps=900, chunk=25, eval_every=150), play=self_play.Config(opening=7))


def smoke() -> Config:
    return Config(
        torso=mlp.Config(hidden=(8,)),
        latent=4,
        hidden=(4,),
        optim=AdamW(eps=1e-5),  # a tiny gradient is not rounding that Adam magnifies
        run=Run(steps=4, chunk=2),
        play=SMALL_PLAY,
        unroll=1,
        bins=3,
        report=SMALL_REPORT,
    )
