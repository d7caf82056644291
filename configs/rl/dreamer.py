"""DreamerV3 on MinAtar's Breakout: a policy trained in the imagination of a learned model.

Papers: Hafner et al. 2023 (arXiv:2301.04104), Young & Tian 2019 (arXiv:1903.03176).
Command: panorax run rl/dreamer
"""

from panorax.core.config import Run
from panorax.nets.recurrent.rssm import Config as RSSM
from panorax.rl.dreamer import Config
from panorax.rl.torsos.mlp import Config as MLP

CLAIMS = ()
ORACLE = "closed forms of the loss terms; torch: the recurrent cell; probe environments"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        model=RSSM(recurrent=8, variables=2, classes=2, hidden=4, blocks=2),
        head=MLP(hidden=(4,), layer_norm=True, activation="silu"),
        run=Run(steps=4, chunk=2),
        n_envs=2,
        updates=1,
        capacity=16,
        fill=8,
        batch=2,
        sequence=4,
        horizon=3,
        eval_episodes=2,
    )
