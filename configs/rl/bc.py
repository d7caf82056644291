"""Behaviour cloning and DAgger: compounding errors on a rope, and clones of PPO on CartPole.

Papers: Ross & Bagnell 2010; Ross, Gordon & Bagnell 2011 (arXiv:1011.0686); Pomerleau 1989.
Command: panorax run rl/bc
"""

from panorax.configs.rl import ppo

from panorax.rl.bc import Config

CLAIMS = ()
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
