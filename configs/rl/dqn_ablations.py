"""DQN on CartPole without replay, target network or double Q-learning; ten seeds each.

Papers: Mnih et al. 2015 (doi:10.1038/nature14236), van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn_ablations
"""

import dataclasses

from panorax.configs.rl import dqn
from panorax.configs.rl.dqn import ORACLE as ORACLE

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
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
        "mean_eval_overestimation_without_target",
        ">",
        100.0,
        "Panorax: without target network values diverge; no true value is above 1 / (1 - 0.99)",
    ),
    Claim(
        "mean_eval_overestimation_without_double",
        ">",
        "mean_eval_overestimation_whole",
        "van Hasselt et al. 2016: double Q-learning overestimates less",
    ),
)


def get_config() -> Config:
    """As in the paper: one environment, an update every four steps, one-step targets."""
    return dataclasses.replace(
        dqn.get_config(),
        optim=AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=30_000, chunk=300),
        torso=MLP((120, 84)),
        n_envs=1,
        length=4,
        batch=64,
        n_step=1,
        target_every=100,
        eval_episodes=20,
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
