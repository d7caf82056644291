"""Random network distillation on DeepSea: exploration without luck, up to size 30.

Papers: Burda et al. 2018 (arXiv:1810.12894), Osband et al. 2020 (arXiv:1908.03568).
Command: panorax run rl/rnd
"""

from panorax.core.config import Run
from panorax.rl.environments.deep_sea import Config as DeepSea
from panorax.rl.policies.mlp import Config as MLP
from panorax.rl.rnd import Config

CLAIMS = ()
ORACLE = "numpy: rewards and advantages by definition; gymnax: dynamics of DeepSea"


def get_config() -> Config:
    return Config(
        environment=DeepSea(10),
        n_envs=16,
        length=10,
        discount=0.99,
        gae_lambda=0.95,
        run=Run(steps=1000, chunk=10),
    )


def smoke() -> Config:
    return Config(
        environment=DeepSea(3),
        policy=MLP(hidden=(8,)),
        width=8,
        features=4,
        n_envs=4,
        length=6,
        epochs=1,
        minibatches=2,
        sizes=(3, 4),
        eval_episodes=4,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
