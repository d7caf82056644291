"""TRPO on CartPole: every step stays within a bound on the KL divergence.

Papers: Schulman et al. 2015 (arXiv:1502.05477), Schulman et al. 2016 (arXiv:1506.02438).
Command: panorax run rl/trpo
"""

from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.trpo import Config

CLAIMS = ()
ORACLE = "torch: surrogate, KL, their gradients and Fisher products; probe environments"


def get_config() -> Config:
    return Config(
        environment=Gymnax("CartPole-v1"),
        n_envs=16,
        length=64,
        discount=0.99,
        gae_lambda=0.95,
        reward_scale=0.1,
        run=Run(steps=150, chunk=5),
    )


def smoke() -> Config:
    return Config(
        n_envs=4,
        length=8,
        turns=3,
        lengths=3,
        epochs=1,
        minibatches=2,
        eval_episodes=4,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
