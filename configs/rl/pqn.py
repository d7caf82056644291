"""PQN on CartPole: Q-learning without replay and target network, by layer normalisation.

Paper: Gallici et al. 2024 (arXiv:2407.04811).
Command: panorax run rl/pqn
"""

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.pqn import Config

CLAIMS = ()
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
