"""Panorax as a contender in comparisons of SAC: the program of `panorax run rl/sac`."""

from pathlib import Path

from panorax.bench.panorax_ppo import training_of
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl import sac
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.torsos.mlp import Config as Layers

CHUNK = 100


def training(setting: dict, folder: Path):
    """Training in compiled chunks of `CHUNK` steps."""
    n, hidden = setting["n_envs"], Layers(tuple(setting["hidden"]))
    cfg = sac.Config(
        environment=Gymnax(setting["environment"]),
        actor=hidden,
        critic=hidden,
        optim=AdamW(
            peak_lr=setting["learning_rate"], schedule="constant", b2=0.999, eps=1e-8, clip=1e6
        ),
        run=Run(steps=CHUNK, chunk=CHUNK),
        n_envs=n,
        updates=n,
        batch=setting["batch"],
        capacity=setting["capacity"],
        random_steps=setting["random_steps"],
        discount=setting["discount"],
        polyak=setting["polyak"],
        seeds=0,
    )
    return training_of(sac.system(cfg), CHUNK, setting["round"])
