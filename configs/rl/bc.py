"""Behaviour cloning and DAgger: compounding errors on a rope, and clones of PPO on CartPole.

Papers: Ross & Bagnell 2010; Ross, Gordon & Bagnell 2011 (arXiv:1011.0686); Pomerleau 1989.
Command: panorax run rl/bc
"""

from panorax.configs.rl import ppo

from panorax.core.claims import Claim
from panorax.rl.bc import Config

CLAIMS = (
    Claim(
        "bc_exponent",
        ">=",
        1.9,
        "Ross & Bagnell 2010: the regret of behaviour cloning grows with the square of the horizon",
    ),
    Claim(
        "dagger_exponent",
        "<=",
        1.1,
        "Ross, Gordon & Bagnell 2011: the regret of DAgger grows linearly with the horizon",
    ),
    Claim(
        "bc_over_bound",
        "<=",
        1.0,
        "Ross & Bagnell 2010, theorem 2.1: the regret of behaviour cloning is at most eps T^2",
    ),
    Claim(
        "dagger_over_bound",
        "<=",
        1.0,
        "Ross, Gordon & Bagnell 2011, theorem 3.2: the regret of DAgger is at most u eps T; a "
        "deviation costs one step here",
    ),
    Claim(
        "closed_form_gap",
        "<=",
        1e-9,
        "Panorax: the regrets on the rope are T - (1 - (1 - eps)^T) / eps and eps (T - 1)",
    ),
    Claim(
        "regret_of_labels",
        "<",
        "first_regret_of_labels",
        "Ross, Gordon & Bagnell 2011, section 3: the mean regret of DAgger's losses falls",
    ),
)
ORACLE = "closed forms of the regrets on the rope"


def get_config() -> Config:
    return Config(f"{ppo.__name__}:get_config")


def smoke() -> Config:
    return Config(
        f"{ppo.__name__}:smoke",
        (10, 20),
        rounds=2,
        labels=4,
        updates=2,
        eval_episodes=2,
        seeds=2,
    )
