"""Decision Transformer on Pendulum with five torques, from random, medium and expert episodes.

Papers: Chen et al. 2021 (arXiv:2106.01345).
Command: panorax run rl/decision_transformer
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.nets.decoders.llama import Model
from panorax.rl.decision_transformer import Config
from panorax.rl.offline.agents import Config as Data

CLAIMS = (
    Claim(
        "mean_rank_correlation",
        ">=",
        0.9,
        "Chen et al. 2021, figure 4: returns rise with the return asked for, mean over 5 seeds of "
        "Spearman's correlation",
    ),
    Claim(
        "mean_dt_above_bc",
        ">",
        0.0,
        "Chen et al. 2021, table 3: asked for a high return, the Decision Transformer returns more "
        "than behaviour cloning of all episodes, mean over 5 seeds",
    ),
    Claim(
        "dt_above_bc",
        ">",
        0.0,
        "Panorax: asked for a high return, the Decision Transformer returns more than behaviour "
        "cloning of all episodes, with each of 5 seeds",
    ),
    Claim(
        "max_stitching_return",
        "<",
        1.0,
        "Brandfonbrener et al. 2022: conditioning on returns does not join episodes to the best "
        "return, 1, which dynamic programming on the same data finds",
    ),
)
ORACLE = "numpy: token layout and returns-to-go; acting equals the training forward pass"


def get_config() -> Config:
    return Config(data=Data("mixed", seed=1))


def smoke() -> Config:
    return Config(
        data=Data("random", episodes=2),
        model=Model(5, 8, 1, 1, 1, 8, tied=False),
        optim=AdamW(peak_lr=1e-2, schedule="constant"),
        run=Run(steps=4, chunk=2),
        batch=8,
        context=2,
        targets=(-1000, -500),
        eval_episodes=2,
        seeds=0,
    )
