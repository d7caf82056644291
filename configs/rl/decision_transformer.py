"""Decision Transformer on Pendulum with five torques, from random, medium and expert episodes.

Papers: Chen et al. 2021 (arXiv:2106.01345).
Command: panorax run rl/decision_transformer
"""

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.nets.decoders.llama import Model
from panorax.rl.decision_transformer import Config
from panorax.rl.offline.agents import Config as Data

CLAIMS = ()
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
