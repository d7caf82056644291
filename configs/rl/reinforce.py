"""REINFORCE on CartPole, and the variance of its gradient with and without baselines.

Papers: Williams 1992, Greensmith et al. 2004.
Command: panorax run rl/reinforce
"""

from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.reinforce import Config

CLAIMS = ()
ORACLE = "torch: loss and gradients; the exact policy gradient of a bandit; probe environments"


def get_config() -> Config:
    return Config(
        environment=Gymnax("CartPole-v1"),
        n_envs=32,
        discount=0.99,
        reward_scale=0.1,
        run=Run(steps=120, chunk=4),
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("CartPole-v1", (("max_steps_in_episode", 6),)),
        n_envs=4,
        eval_episodes=4,
        measured_rollouts=2,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
