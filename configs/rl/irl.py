"""Maximum-entropy inverse reinforcement learning: a gridworld's rewards from demonstrations.

Papers: Ziebart et al. 2008; Ziebart 2010; Ng, Harada & Russell 1999.
Command: panorax run rl/irl
"""

from panorax.rl.irl import Config

CLAIMS = ()
ORACLE = "enumeration of all trajectories, autodiff and differences, a linear solve, Monte Carlo"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(demonstrations=(4, 8), repeats=1, steps=20, episodes=200, horizon=3)
