"""PPO on CartPole: training is a pure function of a key, vmapped over five seeds.

Papers: Schulman et al. 2017 (arXiv:1707.06347), Schulman et al. 2016 (arXiv:1506.02438).
Command: panorax run rl/ppo
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.ppo import Config

SOLVED = "gymnasium: CartPole-v1 is solved at a mean return of 475 over 100 episodes"
CLAIMS = (
    Claim("eval_return", ">=", 475.0, SOLVED),
    Claim("min_eval_return_over_5_seeds", ">=", 475.0, f"{SOLVED}; here by each of 5 seeds"),
    Claim(
        "largest_ratio",
        ">",
        1.2,
        "Panorax: the clip at 1.2 does not keep the ratios of an update below 1.2",
    ),
)
ORACLE = (
    "torch: PPO loss and distributions; stable-baselines3: advantages; gymnasium: dynamics; "
    "probe environments with known values"
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("CartPole-v1"),
        n_envs=16,
        epochs=10,
        minibatches=4,
        discount=0.99,
        gae_lambda=0.95,
        run=Run(steps=400, chunk=10),
    )


def smoke() -> Config:
    return Config(n_envs=4, length=8, epochs=1, eval_episodes=4, seeds=2, run=Run(steps=4, chunk=2))
