"""First-order optimisers: the zig-zag on a long valley and what momentum makes of it; AdamW beside Adam with an L2 penalty.

Command: panorax run theory/optimizers
"""

from panorax.core.claims import Claim
from panorax.theory.optimizers import Config

COURSE = "part A, section 7"
CLAIMS = (
    Claim(
        "turns_sgd",
        "==",
        20.0,
        f"{COURSE}.1: descent goes to and fro across a valley, in every step at its best rate",
    ),
    Claim(
        "momentum_speedup",
        ">",
        4.0,
        "Polyak 1964: momentum needs about sqrt(condition / 2) times fewer steps, 7 here, after a start-up",
    ),
    Claim(
        "adamw_gain_in_errors",
        ">",
        2.0,
        f"{COURSE}.4, Loshchilov & Hutter 2019: AdamW generalises better, each at its best rate and decay; in standard errors",
    ),
    Claim("accuracy_adamw", ">", "accuracy_without_decay", "decay matters here"),
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
