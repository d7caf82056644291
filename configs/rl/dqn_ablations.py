"""DQN on CartPole without replay, target network or double Q-learning; ten seeds each.

Papers: Mnih et al. 2015 (doi:10.1038/nature14236), van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn_ablations
"""

import dataclasses

from panorax.configs.rl import dqn
from panorax.configs.rl.dqn import ORACLE as ORACLE

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.dqn import Config
from panorax.rl.torsos.mlp import Config as MLP

MNIH = "Mnih et al. 2015: DQN needs its replay and its target network"
CLAIMS = (
    Claim(
        "mean_eval_return_without_replay",
        "<",
        "mean_eval_return_whole",
        f"{MNIH}; here the return without replay",
    ),
    Claim(
        "mean_eval_return_without_target",
        "<",
        "mean_eval_return_whole",
        f"{MNIH}; here the return without target network",
    ),
    Claim(
        "mean_eval_overestimation_without_double",
        ">",
        "mean_eval_overestimation_whole",
        "van Hasselt et al. 2016: double Q-learning overestimates less",
    ),
)


def get_config() -> Config:
    return dataclasses.replace(
        dqn.get_config(),
        run=Run(steps=15_000, chunk=150),
        torso=MLP((120, 84)),
        seeds=10,
        without=("replay", "target", "double"),
    )


def smoke() -> Config:
    return Config(
        n_envs=4,
        capacity=64,
        batch=8,
        random_steps=16,
        eval_episodes=4,
        seeds=2,
        without=("replay", "target"),
        run=Run(steps=4, chunk=2),
    )
