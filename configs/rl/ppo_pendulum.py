"""PPO on Pendulum: continuous actions, normalised observations, truncated episodes.

Papers: Schulman et al. 2017 (arXiv:1707.06347), Schulman et al. 2016 (arXiv:1506.02438).
Command: panorax run rl/ppo_pendulum
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.ppo import Config

UPRIGHT = (
    "Panorax: PPO swings the pendulum up and balances it; the swing-up alone returns about -150, "
    "hanging or spinning below -1000"
)
CLAIMS = (
    Claim("eval_return", ">=", -200.0, UPRIGHT),
    Claim("min_eval_return_over_3_seeds", ">=", -200.0, f"{UPRIGHT}; for each of 3 seeds"),
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("Pendulum-v1"),
        run=Run(steps=300, chunk=10),
        n_envs=32,
        length=64,
        epochs=10,
        minibatches=8,
        discount=0.95,
        gae_lambda=0.95,
        reward_scale=0.1,
        normalize=True,
        seeds=3,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("Pendulum-v1"),
        n_envs=4,
        length=8,
        epochs=1,
        normalize=True,
        eval_episodes=4,
        seeds=0,
        run=Run(steps=4, chunk=2),
    )
