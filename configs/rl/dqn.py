"""DQN on CartPole: a replay and a target network make Q-learning with a network stable.

Papers: Mnih et al. 2015 (doi:10.1038/nature14236), van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.dqn import Config
from panorax.rl.torsos.mlp import Config as MLP

CLEANRL = "Huang et al. 2022, CleanRL: DQN in JAX reaches 498.38 on CartPole-v1"
CLAIMS = (
    Claim("eval_return", ">=", 498.0, CLEANRL),
    Claim("mean_eval_return_over_5_seeds", ">=", 498.0, f"{CLEANRL}; here the mean over 5 seeds"),
    Claim("min_eval_return_over_5_seeds", ">=", 498.0, f"{CLEANRL}; here each of 5 seeds"),
    Claim(
        "eval_overestimation", "<", 5.0, "van Hasselt et al. 2016: double DQN overestimates little"
    ),
)
ORACLE = (
    "numpy: TD targets and losses of rlax (Q-learning, double, categorical); "
    "probe environments with known values"
)


def get_config() -> Config:
    return Config(
        optim=AdamW(peak_lr=5e-4, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=25_000, chunk=250, eval_every=2500),
        torso=MLP((120, 84), layer_norm=True),
        capacity=50_000,
        n_step=3,
        double=True,
        target_every=50,
        exploration=0.2,
        final_epsilon=0.1,
    )


def smoke() -> Config:
    return Config(
        n_envs=4,
        capacity=64,
        batch=8,
        random_steps=16,
        eval_episodes=4,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
