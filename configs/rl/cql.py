"""CQL on Pendulum with five torques, from transitions of SAC early in its training.

Papers: Kumar et al. 2020 (arXiv:2006.04779), Haarnoja et al. 2018 (arXiv:1812.05905).
Command: panorax run rl/cql

On an npz file or a data set of Minari, with the environment of its transitions:
panorax run rl/cql --data recorded --data.path FOLDER --data.environment CartPole-v1
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
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
    """Options were chosen on the data of the agents with the seeds 0 to 3."""
    return Config(data=Data(episodes=200, seed=4))


def smoke() -> Config:
    return Config(
        data=Data("random", episodes=2),
        torso=Layers((16,)),
        optim=AdamW(peak_lr=1e-3, schedule="constant"),  # the contract trains longer than the run
        run=Run(steps=4, chunk=2),
        batch=8,
        eval_episodes=4,
        seeds=0,
    )
