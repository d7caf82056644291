"""Random network distillation on DeepSea: deep exploration up to size 30.

Papers: Burda et al. 2018 (arXiv:1810.12894), Osband et al. 2020 (arXiv:1908.03568).
Command: panorax run rl/rnd
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.environments.deep_sea import Config as DeepSea
from panorax.rl.policies.mlp import Config as MLP
from panorax.rl.rnd import Config

BONUS = "Burda et al. 2018: the bonus explores deeply; here each of 5 seeds solves DeepSea of size"
DITHERING = "Osband et al. 2020: random actions need 2^n episodes; here no seed without the bonus"
CLAIMS = (
    Claim("solved_at_size_10", ">=", 1.0, f"{BONUS} 10"),
    Claim("solved_at_size_20", ">=", 1.0, f"{BONUS} 20"),
    Claim("solved_at_size_30", ">=", 1.0, f"{BONUS} 30"),
    Claim("solved_without_bonus_at_size_20", "<=", 0.0, f"{DITHERING} solves size 20"),
    Claim("solved_without_bonus_at_size_30", "<=", 0.0, f"{DITHERING} solves size 30"),
    Claim(
        "exponent",
        "<=",
        3.0,
        "Osband et al. 2020: deep exploration needs a number of episodes that is polynomial in the "
        "size, with an exponent of at most 3",
    ),
)
ORACLE = (
    "numpy: bonus, its gradient and its scale, intrinsic advantages, and the rules of bsuite's "
    "DeepSea; gymnax: DeepSea; gymnasium: scale of rewards"
)


def get_config() -> Config:
    return Config(
        environment=DeepSea(20),
        policy=MLP(hidden=(32,)),
        width=32,
        optim=AdamW(peak_lr=2e-3, schedule="constant", b2=0.999, eps=1e-5, clip=0.5),
        sizes=(10, 20, 30),
        n_envs=16,
        length=20,
        epochs=4,
        minibatches=4,
        discount=0.999,
        gae_lambda=0.99,
        entropy_weight=0.003,
        run=Run(steps=300, chunk=10),
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
        sizes=(3,),
        eval_episodes=4,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
