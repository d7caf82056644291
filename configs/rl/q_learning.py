"""Tabular temporal-difference learning: convergence, maximisation bias, cliff walking, random walk.

Papers: Watkins & Dayan 1992; Rummery & Niranjan 1994; van Hasselt 2010; van Seijen et al. 2009;
Sutton & Barto 2018.
Command: panorax run rl/q_learning
"""

from panorax.rl.q_learning.study import Config

CLAIMS = ()
ORACLE = "exact action values of panorax.maths.mdp, forward views in NumPy"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        states=4,
        powers=(0.6, 0.8),
        chunks=2,
        chunk=5,
        seeds=2,
        bias_runs=3,
        bias_episodes=4,
        cliff_runs=2,
        cliff_episodes=3,
        cliff_alphas=(0.5,),
        interim=2,
        walk_runs=2,
        walk_episodes=2,
        walk_alphas=(0.4,),
        horizons=(1,),
        lambdas=(0.0, 0.8),
    )
