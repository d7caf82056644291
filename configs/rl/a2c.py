"""A2C on CartPole: one synchronous update per rollout of five steps.

Paper: Mnih et al. 2016 (arXiv:1602.01783).
Command: panorax run rl/a2c
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.a2c import Config
from panorax.rl.environments.from_gymnax import Config as Gymnax

SOLVED = "gymnasium: CartPole-v1 is solved at a mean return of 475 over 100 episodes"
CLAIMS = (
    Claim("eval_return", ">=", 475.0, SOLVED),
    Claim("min_eval_return_over_5_seeds", ">=", 475.0, f"{SOLVED}; here by each of 5 seeds"),
)
ORACLE = "torch: loss and gradients; probe environments with known values"


def get_config() -> Config:
    return Config(
        environment=Gymnax("CartPole-v1"),
        n_envs=32,
        discount=0.99,
        reward_scale=0.1,
        run=Run(steps=5000, chunk=100),
    )


def smoke() -> Config:
    return Config(n_envs=4, length=4, eval_episodes=4, seeds=2, run=Run(steps=4, chunk=2))
