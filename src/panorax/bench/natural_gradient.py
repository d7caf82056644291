"""K-FAC beside optax's Adam, seconds to a loss: the deep autoencoder and the convolutional classifier of digits of theory/natural_gradient.

Both train from the same parameters on the same batches, each at its best setting there, for as many steps as it needs until the mean loss of the last
ones is below the target; how many that is was found before, and is not timed. A step of K-FAC costs more, for its statistics take another pass back,
its step length two forward, and every fifth step inverts the factors, of which those of 200 units are the largest.
"""

from pathlib import Path

import jax
import numpy as np
import optax

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, Positive, checked
from panorax.engine.loop import Clock
from panorax.maths.optimisation.kfac import adaptive_kfac, kfac
from panorax.theory.natural_gradient.kfac_training import (
    autoencoder,
    classifier,
    smoothed,
    start,
    steps_to,
    train,
)

HERE = "panorax.bench.natural_gradient:"
CONTENDERS = {"panorax": HERE + "by_kfac", "optax adam": HERE + "by_adam"}


@checked
class Config:
    """Problems and targets as in theory/natural_gradient, settings those that its record names."""

    sizes: tuple[Count, ...] = (64, 200, 100, 50, 10, 50, 100, 200, 64)
    channels: tuple[Count, ...] = (8, 16, 16)
    batch: Count = 512
    most: tuple[Count, Count] = (2000, 100)
    """steps at most, of the autoencoder and the classifier"""
    target: tuple[Positive, Positive] = (1.0, 0.05)
    window: tuple[Count, Count] = (10, 5)
    """steps whose mean loss is to be below the target"""
    damping: tuple[Positive, Positive] = (0.001, 0.01)
    rate: tuple[Positive, Positive] = (0.005, 0.03)
    """of Adam"""
    rounds: Count = 5


def benchmark(cfg: Config, folder: Path) -> Table:
    """Trainings a minute to the target; steps and the last loss of each."""
    table = Table("trainings/min")
    for i, case in enumerate(("autoencoder", "classifier")):
        measured = compare(CONTENDERS, vars(cfg) | {"problem": i}, folder, cfg.rounds)
        table.add(case, measured, "optax adam")
        for name, one in measured.items():
            table.metrics[f"{case}_{name.replace(' ', '_')}_steps"] = float(one.facts["steps"])
            table.metrics[f"{case}_{name.replace(' ', '_')}_seconds"] = 60 / float(
                np.median(one.rates)
            )
        table.metrics[f"{case}_largest_loss_over_target"] = (
            max(one.facts["loss"] for one in measured.values()) / cfg.target[i]
        )
    return table


def by_kfac(setting: dict, folder: Path):
    """By its quadratic model in the autoencoder, in a trust region in the classifier."""
    damping = setting["damping"][setting["problem"]]
    return to_target(
        adaptive_kfac(damping)
        if setting["problem"] == 0
        else kfac(0.1, damping, every=2, kl_clip=0.03),
        setting,
    )


def by_adam(setting: dict, folder: Path):
    """At one rate."""
    return to_target(optax.adam(setting["rate"][setting["problem"]]), setting)


def to_target(tx: optax.GradientTransformation, setting: dict):
    """Facts and work of one training, a compiled program of exactly the steps that it takes, or of all if the target is never reached."""
    i, clock = setting["problem"], Clock()
    problem = (
        autoencoder(tuple(setting["sizes"])) if i == 0 else classifier(tuple(setting["channels"]))
    )
    most, target, window = (setting[name][i] for name in ("most", "target", "window"))
    params, rows, keys = start(problem, jax.random.key(0), most, setting["batch"])
    run = lambda params, rows, keys: train(problem, tx, params, rows, keys)
    steps = min(most, steps_to(np.asarray(jax.jit(run)(params, rows, keys)), target, window))
    program = clock.compile(run, params, rows[:steps], keys[:steps])
    facts = {"steps": steps, "compile_seconds": clock.compiling, "version": optax.__version__}

    def work():
        losses = jax.block_until_ready(program(params, rows[:steps], keys[:steps]))
        facts["loss"] = float(smoothed(np.asarray(losses), window)[-1])
        return 60

    return facts, work
