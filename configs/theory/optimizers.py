"""First-order optimisers in a long valley, and AdamW beside Adam with an L2 penalty on digits.

Command: panorax run theory/optimizers
"""

from panorax.core.claims import Claim
from panorax.theory.optimizers import Config

COURSE = "course notes, part A, section 7"
CLAIMS = (
    Claim(
        "turns_sgd",
        "==",
        20.0,
        f"{COURSE}.1: gradient descent at its best rate crosses a valley in each of 20 steps",
    ),
    Claim(
        "momentum_speedup",
        ">",
        4.0,
        "Polyak 1964: momentum takes about sqrt(condition / 2) times fewer steps, here 7 "
        "asymptotically",
    ),
    Claim(
        "adamw_gain_in_errors",
        ">",
        2.0,
        f"{COURSE}.4, Loshchilov & Hutter 2019: AdamW generalises better than Adam with an L2 "
        "penalty, each at its best rate and decay (difference in standard errors)",
    ),
    Claim(
        "accuracy_adamw",
        ">",
        "accuracy_without_decay",
        "Panorax: weight decay raises held-out accuracy",
    ),
)
ORACLE = "optax, step for step"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        bowl_steps=25,
        images=20,
        hidden=4,
        steps=3,
        batch=4,
        rates=(1e-3,),
        decays=(0.1, 1.0),
        seeds=2,
    )
