"""Markov decision processes: value, policy and modified policy iteration, and the linear programme.

Papers: Bellman 1957; Howard 1960; Puterman & Shin 1978; d'Epenoux 1963; Dubins & Savage 1965.
Command: panorax run rl/mdp
"""

from panorax.rl.mdp import Config

CLAIMS = ()
ORACLE = "scipy's linprog (HiGHS), gymnasium's table of FrozenLake, closed forms of the gambler"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(states=12, branching=3, side=5, walls=0.1, goal=8, discounts=(0.5, 0.9), pairs=3)
