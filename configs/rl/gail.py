"""GAIL on Pendulum: PPO imitates PPO from 1, 4 and 16 episodes, beside behaviour cloning.

Papers: Ho & Ermon 2016 (arXiv:1606.03476), Fu et al. 2018 (arXiv:1710.11248).
Command: panorax run rl/gail
"""

from panorax.configs.rl import ppo_pendulum

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.gail import Config
from panorax.rl.policies.mlp import Config as MLP
from panorax.rl.torsos.mlp import Config as Torso

EXPERT = "Ho & Ermon 2016: GAIL reaches the expert; here 90% of its gain, from every 20th pair of"
ABOVE = (
    "Ho & Ermon 2016: GAIL is above cloning by at least 4 standard errors from every 20th pair of"
)
CLAIMS = (
    Claim("gail_share_1", ">=", 0.9, f"{EXPERT} 1 episode"),
    Claim("gail_share_4", ">=", 0.9, f"{EXPERT} 4 episodes"),
    Claim("gail_share_16", ">=", 0.9, f"{EXPERT} 16 episodes"),
    Claim(
        "bc_share_1",
        "<=",
        0.5,
        "Ho & Ermon 2016: cloning does not reach the expert; here at most half of its gain, from "
        "every 20th pair of 1 episode",
    ),
    Claim("gail_above_bc_in_errors_1", ">=", 4.0, f"{ABOVE} 1 episode"),
    Claim("gail_above_bc_in_errors_4", ">=", 4.0, f"{ABOVE} 4 episodes"),
    Claim(
        "constant_share",
        "<=",
        0.1,
        "Panorax: episodes of Pendulum have one length, so that a constant reward teaches nothing",
    ),
)
OVERFITS = None  # neither player's loss falls by itself
ORACLE = (
    "numpy: loss of the discriminator and its gradients; closed forms: best discriminator and "
    "Jensen-Shannon divergence of a table; a probe environment with a known value"
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("Pendulum-v1"),
        expert=f"{ppo_pendulum.__name__}:get_config",
        run=Run(steps=200, chunk=5),
        n_envs=16,
        length=64,
        epochs=8,
        minibatches=4,
        discount=0.98,
        gae_lambda=0.95,
        reward_scale=0.3,
        normalize=True,
        penalty=0.3,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("Pendulum-v1"),
        expert=f"{ppo_pendulum.__name__}:smoke",
        policy=MLP((8,)),
        discriminator=Torso((8,), activation="tanh"),
        run=Run(steps=4, chunk=2),
        n_envs=4,
        length=8,
        epochs=1,
        pairs=8,
        normalize=True,
        eval_episodes=4,
        seeds=0,
    )
