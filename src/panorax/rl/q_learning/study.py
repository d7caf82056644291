"""Tabular temporal-difference learning on problems whose exact values are known.

    convergence  errors to the exact Q of a Garnet: to Q* for Q-learning and double Q-learning with
                 uniform exploration and for SARSA that becomes greedy; to the best epsilon-soft Q
                 for SARSA, expected SARSA, n-step SARSA and SARSA(lambda) with a fixed epsilon
                 `fall_*` is the error after all steps over the error after a tenth of them
    bias         maximisation bias: share of episodes that begin with the worse action `left`
    cliff        cliff walking: returns while learning, and greedy paths afterwards
    walk         errors of n-step TD and TD(lambda) on the random walk of 19 states

All runs of one figure are a vmap over their keys, and over step sizes and lambda. Intervals are
95% confidence intervals over runs.
Source: Watkins & Dayan 1992; Singh et al. 2000; van Hasselt 2010; Sutton & Barto 2018, examples
6.6, 6.7, 7.1 and figures 6.3, 6.5, 7.2, 12.3.
"""

import functools

from panorax.core.ranges import Count, DecayRate, PositiveShare, Share, Whole, checked
from panorax.core.study import Part
from panorax.rl.q_learning import control, prediction


@checked
class Config:
    states: Count = 20
    """states of the Garnet, with three actions of three successors each"""
    discount: DecayRate = 0.9
    """discount of the Garnet [gamma]"""
    powers: tuple[Share, ...] = (0.6, 0.8, 1.0)
    """exponents of Q-learning's step sizes n^-power; all other agents use the second"""
    epsilon: PositiveShare = 0.3
    """probability of a uniform action of agents that follow their policy on the Garnet"""
    chunks: Count = 100
    """measurements of the errors on the Garnet"""
    chunk: Count = 10_000
    """steps between two measurements"""
    seeds: Count = 8
    """runs on the Garnet"""
    bias_runs: Count = 10_000
    """runs of the maximisation bias"""
    bias_episodes: Count = 300
    """episodes of each run of the maximisation bias"""
    cliff_runs: Count = 100
    """runs of cliff walking"""
    cliff_episodes: Count = 500
    """episodes of each run of cliff walking"""
    cliff_alphas: tuple[PositiveShare, ...] = (0.1, 0.25, 0.5, 0.75, 1.0)
    """step sizes on the cliff, 0.5 among them, at which paths and late returns are measured"""
    interim: Count = 100
    """first episodes on the cliff that the comparison of step sizes averages"""
    walk_runs: Count = 100
    """random walks, the same for all agents and step sizes"""
    walk_episodes: Count = 10
    """episodes of each random walk, over which the error is averaged"""
    walk_alphas: tuple[PositiveShare, ...] = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    """step sizes of the random walk"""
    horizons: tuple[Count, ...] = (1, 2, 4, 8, 16, 32)
    """rewards in the target of n-step TD [n]"""
    lambdas: tuple[Share, ...] = (0.0, 0.4, 0.8, 0.9, 0.95, 1.0)
    """decay of the traces of TD(lambda)"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if len(self.powers) < 2 or self.states < 3 or min(self.seeds, self.cliff_runs) < 2:
            raise ValueError("powers, seeds and cliff-runs need at least 2, states at least 3")
        if 0.5 not in self.cliff_alphas:
            raise ValueError("cliff-alphas must contain 0.5")
        if self.horizons[0] != 1 or self.lambdas[0] != 0 or self.walk_runs < 2:
            raise ValueError("horizons begin with 1, lambdas with 0, and walk-runs is at least 2")


def study(cfg: Config) -> dict[str, Part]:
    """Convergence, maximisation bias, cliff walking, random walk."""
    parts = {
        "convergence": control.convergence,
        "bias": control.bias,
        "cliff": control.cliff,
        "walk": prediction.walk,
    }
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
