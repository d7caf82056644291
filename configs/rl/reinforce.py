"""REINFORCE on CartPole, and the variance of its gradient with and without baselines.

Papers: Williams 1992, Greensmith et al. 2004.
Command: panorax run rl/reinforce
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.reinforce import Config

SOLVED = "gymnasium: CartPole-v1 is solved at a mean return of 475 over 100 episodes"
CLAIMS = (
    Claim("eval_return", ">=", 475.0, SOLVED),
    Claim("min_eval_return_over_5_seeds", ">=", 475.0, f"{SOLVED}; here by each of 5 seeds"),
    Claim(
        "gradient_variance_mean",
        "<",
        0.5,
        "Williams 1992: subtracting the mean return of other episodes reduces the variance of the "
        "gradient; here to less than half",
    ),
    Claim(
        "gradient_variance_value",
        "<",
        0.5,
        "Greensmith et al. 2004: a critic as baseline reduces the variance of the gradient; here "
        "to less than half",
    ),
    Claim(
        "gradient_variance_bootstrap",
        "<",
        "gradient_variance_value",
        "Schulman et al. 2016: advantages that bootstrap from the critic have less variance than "
        "returns minus the critic's value",
    ),
)
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
