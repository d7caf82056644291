"""SAC on Pendulum: twin critics, automatic temperature, fewer steps than a tenth of PPO's.

Papers: Haarnoja et al. 2018 (arXiv:1812.05905), Haarnoja et al. 2018 (arXiv:1801.01290).
Command: panorax run rl/sac
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.environments.probes import Config as Probe
from panorax.rl.sac import Config
from panorax.rl.torsos.mlp import Config as Layers

UPRIGHT = (
    "Panorax: SAC swings the pendulum up and balances it: a mean return of at least "
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
        "Panorax: SAC takes at most a tenth of the environment steps of rl/ppo_pendulum",
    ),
    Claim(
        "eval_entropy",
        ">=",
        -1.2,
        "Haarnoja et al. 2018: the temperature holds the entropy at its target, here -1 nat; "
        "the entropy on the replay is at least -1.2",
    ),
    Claim(
        "eval_entropy",
        "<=",
        -0.8,
        "Haarnoja et al. 2018: the temperature holds the entropy at its target, here -1 nat; "
        "the entropy on the replay is at most -0.8",
    ),
)
ORACLE = (
    "torch: losses and gradients; quadrature: log-probabilities; gymnasium: dynamics; "
    "probe environments with known values"
)


def get_config() -> Config:
    return Config(
        actor=Layers((64, 64)),
        critic=Layers((64, 64)),
        optim=AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=1e6),
        run=Run(steps=3000, chunk=50),
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
