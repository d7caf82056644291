"""PQN on MinAtar's Breakout, with as many environment steps as rl/ppo_breakout.

The game is gymnax's, which differs from the authors': minimal actions, no sticky actions, and
episodes of at most 1,000 steps.
Papers: Gallici et al. 2024 (arXiv:2407.04811), Young & Tian 2019 (arXiv:1903.03176).
Command: panorax run rl/pqn_breakout
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.pqn import Config
from panorax.rl.torsos.conv import Config as Conv
from panorax.rl.torsos.mlp import Config as MLP

PPO = "Gallici et al. 2024: PQN matches PPO; rl/ppo_breakout reaches 42.58 in as many steps"
CLAIMS = (
    Claim("eval_return", ">", 42.58, PPO),
    Claim("mean_eval_return_over_3_seeds", ">", 31.45, f"{PPO}, and 31.45 as a mean of 3 seeds"),
)
ORACLE = (
    "numpy: lambda-returns by their definition, and the loss; probe environments with known values"
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        torso=MLP((128, 128), layer_norm=True),
        optim=AdamW(peak_lr=2e-3, schedule="linear", b2=0.999, clip=10.0),
        run=Run(steps=600, chunk=20),
        n_envs=128,
        length=32,
        epochs=2,
        minibatches=16,
        q_lambda=0.8,
        final_epsilon=0.02,
        exploration=0.1,
        seeds=3,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("Breakout-MinAtar"),
        torso=Conv(channels=4, hidden=16, layer_norm=True),
        n_envs=4,
        length=8,
        epochs=1,
        minibatches=2,
        eval_episodes=4,
        seeds=0,
        run=Run(steps=4, chunk=2),
    )
