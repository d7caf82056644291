"""Maximum-entropy inverse reinforcement learning: a gridworld's rewards from demonstrations.

Papers: Ziebart et al. 2008; Ziebart 2010; Ng, Harada & Russell 1999.
Command: panorax run rl/irl
"""

from panorax.core.claims import Claim
from panorax.rl.irl import Config

CLAIMS = (
    Claim(
        "correlation_cells",
        ">=",
        0.95,
        "Ziebart et al. 2008: maximum-entropy IRL recovers the rewards of cells from the expert's "
        "visits, up to shaping",
    ),
    Claim(
        "optimal_cells",
        "==",
        1.0,
        "Ziebart et al. 2008: in every state, the optimal action for the recovered rewards of "
        "cells is optimal for the true rewards",
    ),
    Claim(
        "correlation_pairs",
        ">=",
        0.95,
        "Cao, Cohen & Szpruch 2021: the expert's policy determines the rewards of states and "
        "actions up to shaping",
    ),
    Claim(
        "optimal_pairs",
        "==",
        1.0,
        "Ng, Harada & Russell 1999: rewards that are recovered up to shaping have the same optimal "
        "policy",
    ),
    Claim(
        "raw_correlation_pairs",
        "<",
        0.95,
        "Ng, Harada & Russell 1999: without the projection of shaping, the rewards of states and "
        "actions differ from the true rewards",
    ),
    Claim(
        "correlation_from_4096_demonstrations",
        ">=",
        0.95,
        "Ziebart et al. 2008: sampled demonstrations suffice to recover the rewards of cells",
    ),
    Claim(
        "regret_from_4096_demonstrations",
        "<=",
        0.01,
        "Ziebart et al. 2008: the optimal policy for rewards from sampled demonstrations loses at "
        "most one percent of the value",
    ),
    Claim(
        "gradient_gap_autodiff",
        "<=",
        1e-9,
        "Ziebart 2010: the gradient of the causal likelihood is the difference of feature counts",
    ),
    Claim(
        "gradient_gap_differences",
        "<=",
        1e-6,
        "Ziebart 2010: the gradient agrees with central differences of the dual",
    ),
    Claim(
        "visits_gap_forward",
        "<=",
        1e-9,
        "Ziebart et al. 2008, algorithm 1: the forward pass gives the visits of the linear solve",
    ),
    Claim(
        "visits_deviation_monte_carlo",
        "<=",
        1.2,
        "Panorax: visits in sampled episodes differ from the exact visits by their standard error",
    ),
    Claim(
        "enumeration_gap_policy",
        "<=",
        1e-9,
        "Ziebart et al. 2008: with deterministic moves, log-probabilities of all trajectories are "
        "their rewards minus log Z",
    ),
    Claim(
        "enumeration_gap_visits",
        "<=",
        1e-9,
        "Ziebart et al. 2008: the forward pass gives the visits in the enumerated trajectories",
    ),
)
ORACLE = "enumeration of all trajectories, autodiff and differences, a linear solve, Monte Carlo"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(demonstrations=(4, 8), repeats=1, steps=20, episodes=200, horizon=3)
