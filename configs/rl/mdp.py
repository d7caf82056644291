"""Markov decision processes: value, policy and modified policy iteration, and the linear programme.

Papers: Bellman 1957; Howard 1960; Puterman & Shin 1978; d'Epenoux 1963; Dubins & Savage 1965.
Command: panorax run rl/mdp
"""

from panorax.core.claims import Claim
from panorax.rl.mdp import Config

CLAIMS = (
    Claim(
        "gap_linear_programme",
        "<=",
        1e-6,
        "d'Epenoux 1963: the linear programme has the value of the linear solve, on five problems",
    ),
    Claim(
        "gap_value",
        "<=",
        1e-6,
        "Bellman 1957: value iteration finds the value of the linear solve, on five problems",
    ),
    Claim(
        "gap_modified",
        "<=",
        1e-6,
        "Puterman & Shin 1978: modified policy iteration finds the value of the linear solve",
    ),
    Claim(
        "gap_gauss_seidel",
        "<=",
        1e-6,
        "Puterman 1994, section 6.3.3: Gauss-Seidel sweeps find the value of the linear solve",
    ),
    Claim(
        "bellman_residual",
        "<=",
        1e-9,
        "Howard 1960: the last policy of policy iteration solves the Bellman optimality equation",
    ),
    Claim(
        "occupancy_gap",
        "<=",
        1e-6,
        "Puterman 1994, section 6.9: the dual variables of the linear programme are the discounted "
        "visits of the optimal policy",
    ),
    Claim(
        "contraction_value",
        "<=",
        1 + 1e-9,
        "Puterman 1994, proposition 6.2.4: the Bellman operator contracts by at least the discount "
        "(ratio over the discount)",
    ),
    Claim(
        "contraction_gauss_seidel",
        "<=",
        1 + 1e-9,
        "Puterman 1994, theorem 6.3.4: a Gauss-Seidel sweep contracts by at least the discount "
        "(ratio over the discount)",
    ),
    Claim(
        "late_rate_value",
        ">=",
        0.99,
        "Puterman 1994, section 6.3: the bound is tight, errors of value iteration on a Garnet "
        "fall by the discount per sweep",
    ),
    Claim(
        "gambler_gap_bold",
        "<=",
        1e-9,
        "Dubins & Savage 1965: bold play is optimal for the gambler with p = 0.4, in closed form",
    ),
    Claim(
        "gambler_gap_timid",
        "<=",
        1e-9,
        "Ross 1974: timid play is optimal for the gambler with p = 0.6, in closed form",
    ),
    Claim(
        "states_with_many_optimal_stakes",
        ">",
        0.5,
        "Panorax: most capitals of the gambler at p = 0.4 have more than one optimal stake",
    ),
    Claim(
        "garnet_iterations_policy",
        "<=",
        10,
        "Howard 1960: policy iteration needs few iterations on a Garnet, at any discount",
    ),
    Claim(
        "garnet_iterations_modified",
        "<",
        "garnet_iterations_value",
        "Puterman & Shin 1978: modified policy iteration needs fewer sweeps than value iteration",
    ),
    Claim(
        "garnet_iterations_gauss_seidel",
        "<",
        "garnet_iterations_value",
        "Puterman 1994, section 6.3.3: Gauss-Seidel needs fewer sweeps than value iteration",
    ),
    Claim(
        "maze_iterations_policy",
        ">=",
        50,
        "Panorax: in a maze whose only reward is the goal, policy iteration needs an iteration for "
        "every few cells of distance",
    ),
)
ORACLE = "scipy's linprog (HiGHS), gymnasium's table of FrozenLake, closed forms of the gambler"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(states=12, branching=3, side=5, walls=0.1, goal=8, discounts=(0.5, 0.9), pairs=3)
