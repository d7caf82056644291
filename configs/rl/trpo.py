"""TRPO on CartPole: every step stays within a bound on the KL divergence.

Papers: Schulman et al. 2015 (arXiv:1502.05477), Schulman et al. 2016 (arXiv:1506.02438).
Command: panorax run rl/trpo
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.trpo import Config

SOLVED = "gymnasium: CartPole-v1 is solved at a mean return of 475 over 100 episodes"
CLAIMS = (
    Claim("eval_return", ">=", 475.0, SOLVED),
    Claim("min_eval_return_over_5_seeds", ">=", 475.0, f"{SOLVED}; here by each of 5 seeds"),
    Claim(
        "largest_kl_excess",
        "<=",
        0.0,
        "Schulman et al. 2015: no step of TRPO exceeds the bound on the mean KL, over 5 seeds",
    ),
    Claim(
        "mean_kl",
        ">=",
        0.005,
        "Panorax: conjugate gradients and the line search use the trust region: the mean KL of a "
        "step is at least half its bound of 0.01 nats",
    ),
)
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
