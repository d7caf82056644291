"""CQL on Pendulum with five torques, from transitions of SAC early in its training.

Papers: Kumar et al. 2020 (arXiv:2006.04779), Haarnoja et al. 2018 (arXiv:1812.05905).
Command: panorax run rl/cql
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.cql import Config
from panorax.rl.offline.agents import Config as Data
from panorax.rl.torsos.mlp import Config as Layers

PAPER = "Kumar et al. 2020, on medium data, with each of 5 seeds"
CLAIMS = (
    Claim("cql_above_bc", ">", 0.0, f"{PAPER}: CQL returns more than behaviour cloning"),
    Claim("cql_above_dqn", ">", 0.0, f"{PAPER}: CQL returns more than offline DQN"),
    Claim(
        "cql_unseen_q",
        "<",
        0.0,
        "Kumar et al. 2020: CQL holds Q at the best unseen action below Q at actions of the data",
    ),
    Claim(
        "dqn_unseen_q",
        ">",
        0.0,
        "Kumar et al. 2020: offline DQN overestimates unseen actions, above actions of the data",
    ),
)
ORACLE = "numpy: loss and gradient by the formula of DiscreteCQL in d3rlpy"


def get_config() -> Config:
    return Config(data=Data(seed=1))


def smoke() -> Config:
    return Config(
        data=Data("random", episodes=2),
        torso=Layers((16,)),
        run=Run(steps=4, chunk=2),
        batch=8,
        eval_episodes=4,
        seeds=0,
    )
