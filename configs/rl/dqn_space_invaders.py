"""DQN on MinAtar's SpaceInvaders: a point per alien shot, before they land.

The game is gymnax's, which differs from the authors': minimal actions, no sticky actions, and a
limit of steps. It has no chance at all, so that every episode of a greedy policy is the same one.
Papers: Young & Tian 2019 (arXiv:1903.03176), Mnih et al. 2015 (doi:10.1038/nature14236),
van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn_space_invaders
"""

import dataclasses

from panorax.configs.rl import dqn_breakout
from panorax.configs.rl.dqn_breakout import ORACLE as ORACLE
from panorax.configs.rl.dqn_breakout import smoke as smoke

from panorax.rl.dqn import Config
from panorax.rl.environments.from_gymnax import Config as Gymnax

CLAIMS = ()


def get_config() -> Config:
    return dataclasses.replace(
        dqn_breakout.get_config(), environment=Gymnax("SpaceInvaders-MinAtar")
    )
