"""PQN on CartPole: Q-learning without replay and target network, by layer normalisation.

Paper: Gallici et al. 2024 (arXiv:2407.04811).
Command: panorax run rl/pqn
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.pqn import Config

PAPER = "Gallici et al. 2024: PQN solves CartPole without replay and target network"
CLAIMS = (
    Claim("eval_return", ">=", 495.0, f"{PAPER}; here a mean return of 495 of 500"),
    Claim("min_eval_return_over_5_seeds", ">=", 495.0, f"{PAPER}; here by each of 5 seeds"),
    Claim("eval_overestimation", "<", 5.0, f"{PAPER}; here its values are at most 5% too large"),
)
ORACLE = (
    "numpy: lambda-returns by their definition, and the loss; probe environments with known values"
)


def get_config() -> Config:
    return Config(
        optim=AdamW(peak_lr=3e-4, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=250, chunk=10, eval_every=50),
        final_epsilon=0.2,
    )


def smoke() -> Config:
    return Config(
        n_envs=4,
        length=8,
        epochs=1,
        minibatches=2,
        eval_episodes=4,
        seeds=2,
        run=Run(steps=4, chunk=2),
    )
