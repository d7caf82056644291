"""Panorax as a contender in comparisons of off-policy methods: the programs of `panorax run`."""

from pathlib import Path

from panorax.bench.panorax_ppo import training_of
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl import dqn, sac
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.torsos.mlp import Config as Layers

CHUNK = 100


def sac_training(setting: dict, folder: Path):
    """Training in compiled chunks of `CHUNK` steps."""
    n, hidden = setting["n_envs"], Layers(tuple(setting["hidden"]))
    cfg = sac.Config(
        environment=Gymnax(setting["environment"]),
        actor=hidden,
        critic=hidden,
        optim=_adam(setting["learning_rate"], clip=1e6),
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


def dqn_training(setting: dict, folder: Path):
    """Training in compiled chunks of `CHUNK` steps, each of `every` environment steps."""
    cfg = dqn.Config(
        environment=Gymnax(setting["environment"]),
        torso=Layers(tuple(setting["hidden"])),
        optim=_adam(setting["learning_rate"], clip=10.0),
        run=Run(steps=CHUNK, chunk=CHUNK),
        n_envs=1,
        length=setting["every"],
        batch=setting["batch"],
        capacity=setting["capacity"],
        random_steps=setting["random_steps"],
        discount=setting["discount"],
        target_every=setting["target_every"],
        epsilon=setting["epsilon"],
        final_epsilon=setting["epsilon"],
        seeds=0,
    )
    return training_of(dqn.system(cfg), CHUNK, setting["round"])


def _adam(learning_rate: float, clip: float) -> AdamW:
    return AdamW(peak_lr=learning_rate, schedule="constant", b2=0.999, eps=1e-8, clip=clip)
