"""TD3 on Pendulum: a deterministic actor, delayed updates, smoothed target actions.

Papers: Fujimoto et al. 2018 (arXiv:1802.09477), Lillicrap et al. 2015 (arXiv:1509.02971).
Command: panorax run rl/td3
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.environments.probes import Config as Probe
from panorax.rl.td3 import Config
from panorax.rl.torsos.mlp import Config as Layers

UPRIGHT = (
    "Panorax: TD3 swings the pendulum up and balances it: a mean return of at least "
    "-150 over 2,000 episodes"
)
CLAIMS = (
    Claim("eval_return", ">=", -150.0, UPRIGHT),
    Claim("min_eval_return_over_5_seeds", ">=", -150.0, f"{UPRIGHT}; for each of 5 seeds"),
    Claim("mean_eval_return_over_5_seeds", ">=", -150.0, f"{UPRIGHT}; mean of 5 seeds"),
    Claim(
        "environment_steps",
        "<=",
        61_440,
        "Panorax: TD3 takes at most a tenth of the environment steps of rl/ppo_pendulum",
    ),
)
ORACLE = "torch: losses and gradients; gymnasium: dynamics; probe environments with known values"


def get_config() -> Config:
    return Config(
        actor=Layers((64, 64)),
        critic=Layers((64, 64)),
        optim=AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=1e6),
        run=Run(steps=5000, chunk=50),
        batch=128,
        eval_episodes=2000,
    )


def smoke() -> Config:
    return Config(
        environment=Probe("continuous"),
        actor=Layers((8,)),
        critic=Layers((8,)),
        run=Run(steps=4, chunk=2),
        n_envs=4,
        updates=2,
        batch=8,
        capacity=64,
        random_steps=8,
        eval_episodes=4,
        seeds=0,
    )
