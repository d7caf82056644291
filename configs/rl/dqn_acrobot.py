"""DQN on Acrobot: a sparse reward of -1 per step until the tip of two links is high enough.

Papers: Mnih et al. 2015 (doi:10.1038/nature14236), van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn_acrobot
"""

import dataclasses

from panorax.configs.rl import dqn
from panorax.configs.rl.dqn import ORACLE as ORACLE
from panorax.configs.rl.dqn import smoke as smoke

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.dqn import Config
from panorax.rl.environments.from_gymnax import Config as Gymnax

CLEANRL = "Huang et al. 2022, CleanRL: DQN in JAX reaches -88.9 on Acrobot-v1"
CLAIMS = (
    Claim("mean_eval_return_over_5_seeds", ">=", -88.9, f"{CLEANRL}; here the mean over 5 seeds"),
    Claim("min_eval_return_over_5_seeds", ">=", -88.9, f"{CLEANRL}; here each of 5 seeds"),
)


def get_config() -> Config:
    return dataclasses.replace(
        dqn.get_config(),
        environment=Gymnax("Acrobot-v1"),
        optim=AdamW(peak_lr=1e-3, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=20_000, chunk=200, eval_every=2000),
        capacity=100_000,
        target_every=200,
        final_epsilon=0.05,
    )
