"""GAIL: PPO imitates itself on CartPole from 1, 4 and 16 episodes, beside behaviour cloning.

Papers: Ho & Ermon 2016 (arXiv:1606.03476), Fu et al. 2018 (arXiv:1710.11248).
Command: panorax run rl/gail
"""

from panorax.configs.rl import ppo

from panorax.core.config import Run
from panorax.rl.gail import Config
from panorax.rl.torsos.mlp import Config as Torso

CLAIMS = ()
OVERFITS = None  # neither player's loss falls by itself
ORACLE = "closed forms of the best discriminator and of the Jensen-Shannon divergence; numpy"


def get_config() -> Config:
    return Config(f"{ppo.__name__}:get_config")


def smoke() -> Config:
    return Config(
        f"{ppo.__name__}:smoke",
        Run(steps=4, chunk=2),
        stride=250,
        batch=8,
        discriminator=Torso((8,), activation="tanh"),
        seeds=0,
    )
