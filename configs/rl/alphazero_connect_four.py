"""AlphaZero on Connect Four against UCT with 1,000 random playouts per move.

Command: panorax run rl/alphazero_connect_four
"""

import dataclasses

from panorax.configs.rl import alphazero
from panorax.configs.rl.alphazero import ORACLE as ORACLE

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.alphazero import Config
from panorax.rl.games import from_pgx, self_play, strength
from panorax.rl.torsos import mlp

CLAIMS = (
    Claim(
        "score_against_uct_1000",
        ">=",
        0.9,
        "Panorax: with as many simulations per move, AlphaZero takes 90% of the points against UCT"
        " with 1,000 random playouts in Connect Four",
    ),
    Claim(
        "search_against_network_low",
        ">",
        0.5,
        "Silver et al. 2018: search improves on its own prior; here the lower end of the interval"
        " of its score against the network alone",
    ),
)


def get_config() -> Config:
    return Config(
        game=from_pgx.Config("connect_four"),
        torso=mlp.Config(hidden=(256, 256), layer_norm=True),
        optim=AdamW(peak_lr=1e-3, schedule="cosine", weight_decay=1e-4, clip=1.0),
        run=Run(steps=3000, chunk=50, eval_every=500),
        play=self_play.Config(games=128, length=8, opening=6, capacity=400, batch=512, updates=4),
        report=strength.Config(last_opponent=1000, last_simulations=1000),
    )


def smoke() -> Config:
    return dataclasses.replace(
        alphazero.smoke(), game=from_pgx.Config("connect_four"), starts=0, teacher_steps=0
    )
