"""DQN on MinAtar's Breakout: a point per brick of a wall that a ball breaks.

The game is gymnax's, which differs from the authors': minimal actions, no sticky actions, and a
limit of steps.
Papers: Young & Tian 2019 (arXiv:1903.03176), Mnih et al. 2015 (doi:10.1038/nature14236),
van Hasselt et al. 2016 (arXiv:1509.06461).
Command: panorax run rl/dqn_breakout
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.dqn import Config
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.torsos.conv import Config as Conv

CLAIMS = (
    Claim(
        "mean_eval_return_over_3_seeds",
        ">",
        "random_return",
        "Panorax: DQN breaks more bricks of gymnax's Breakout than random actions",
    ),
)
ORACLE = (
    "numpy: TD targets and losses of rlax (Q-learning, double, categorical); "
    "probe environments with known values"
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        torso=Conv(),
        optim=AdamW(peak_lr=5e-4, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=4000, chunk=100, eval_every=1000),
        n_envs=64,
        length=2,
        updates=2,
        batch=128,
        capacity=102_400,
        random_steps=5120,
        as_bytes=True,
        n_step=3,
        double=True,
        target_every=200,
        exploration=0.25,
        seeds=3,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        torso=Conv(channels=4, hidden=16),
        as_bytes=True,
        n_envs=4,
        capacity=64,
        batch=8,
        random_steps=16,
        eval_episodes=4,
        seeds=0,
        run=Run(steps=4, chunk=2),
    )
