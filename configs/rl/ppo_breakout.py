"""PPO on MinAtar's Breakout: a 10 x 10 image with 4 channels, one point per brick.

Papers: Young & Tian 2019 (arXiv:1903.03176), Schulman et al. 2017 (arXiv:1707.06347),
Schulman et al. 2016 (arXiv:1506.02438).
Command: panorax run rl/ppo_breakout
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.policies.mlp import Config as MLP
from panorax.rl.ppo import Config

WALL = "Panorax: PPO breaks 20 of a wall's 30 bricks; random actions break less than one"
CLAIMS = (
    Claim("eval_return", ">=", 20.0, WALL),
    Claim("min_eval_return_over_3_seeds", ">=", 20.0, f"{WALL}; for each of 3 seeds"),
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        policy=MLP(activation="relu"),
        optim=AdamW(peak_lr=5e-3, schedule="linear", b2=0.999, eps=1e-5, clip=0.5),
        run=Run(steps=300, chunk=10),
        n_envs=256,
        length=32,
        epochs=4,
        minibatches=8,
        discount=0.99,
        gae_lambda=0.95,
        entropy_weight=0.01,
        seeds=3,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        n_envs=4,
        length=8,
        epochs=1,
        eval_episodes=4,
        seeds=0,
        run=Run(steps=4, chunk=2),
    )
