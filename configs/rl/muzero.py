"""MuZero on tic-tac-toe: search in a model that it learns without the rules.

Command: panorax run rl/muzero
"""

from panorax.configs.rl.alphazero import SMALL_PLAY, SMALL_REPORT

from panorax.core.config import Run
from panorax.rl.games import self_play
from panorax.rl.muzero import Config
from panorax.rl.torsos import mlp

CLAIMS = ()
ORACLE = "the exact solution of tic-tac-toe; the losses written out; mctx's trees, visit by visit"


def get_config() -> Config:
    return Config(run=Run(steps=900, chunk=25, eval_every=150), play=self_play.Config(opening=7))


def smoke() -> Config:
    return Config(
        torso=mlp.Config(hidden=(8,)),
        latent=4,
        hidden=(4,),
        run=Run(steps=4, chunk=2),
        play=SMALL_PLAY,
        unroll=1,
        bins=3,
        report=SMALL_REPORT,
    )
