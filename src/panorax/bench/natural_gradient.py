"""K-FAC beside optax's Adam: seconds to a target loss on two problems of theory/natural_gradient.

The problems are the deep autoencoder and the convolutional classifier of digits. Both optimisers
start from the same parameters, train on the same batches, and use the best setting that the study
found. Each trains until its mean loss over a window is below the target; an untimed run finds the
number of steps first.

A step of K-FAC costs more than a step of Adam. Its statistics take a second backward pass. On the
autoencoder, the step length takes two forward passes, and every fifth step inverts the factors of
up to 201 rows. On the classifier, every second step inverts them.
"""

from pathlib import Path

import jax
import numpy as np
import optax

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, Positive, checked
from panorax.core.study import family
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
    """Problems and targets of theory/natural_gradient, with the best settings in its record.

    A pair holds the value for the autoencoder and the value for the classifier.
    """

    sizes: tuple[Count, ...] = (64, 200, 100, 50, 10, 50, 100, 200, 64)
    """units per layer of the autoencoder, input and output included"""
    channels: tuple[Count, ...] = (8, 16, 16)
    """channels per convolution of the classifier"""
    batch: Count = 512
    """images per step [B]"""
    most: tuple[Count, Count] = (2000, 100)
    """largest number of steps"""
    target: tuple[Positive, Positive] = (1.0, 0.05)
    """mean loss to reach, in nats"""
    window: tuple[Count, Count] = (10, 5)
    """number of steps over which the loss is averaged"""
    damping: tuple[Positive, Positive] = (0.001, 0.01)
    """damping of K-FAC"""
    rate: tuple[Positive, Positive] = (0.005, 0.03)
    """learning rate of Adam"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares trainings per minute to the target, with the steps and last loss of each."""
    table, steps, seconds, losses = Table("trainings/min"), {}, {}, {}
    for i, case in enumerate(("autoencoder", "classifier")):
        measured = compare(CONTENDERS, vars(cfg) | {"problem": i}, folder, cfg.rounds)
        table.add(case, measured, "optax adam")
        for name, rounds in measured.items():
            word = name.replace(" ", "_")
            steps[case, word] = rounds.facts["steps"]
            seconds[case, word] = 60 / np.median(rounds.rates)
        losses[case] = max(rounds.facts["loss"] for rounds in measured.values()) / cfg.target[i]
    table.metrics |= family("{}_{}_steps", steps) | family("{}_{}_seconds", seconds)
    table.metrics |= family("{}_largest_loss_over_target", losses)
    return table


def by_kfac(setting: dict, folder: Path):
    """K-FAC: step length by the quadratic model (autoencoder) or a KL trust region (classifier)."""
    damping = setting["damping"][setting["problem"]]
    if setting["problem"] == 0:
        return to_target(adaptive_kfac(damping), setting)
    return to_target(kfac(0.1, damping, every=2, kl_clip=0.03), setting)


def by_adam(setting: dict, folder: Path):
    """Adam with a constant learning rate."""
    return to_target(optax.adam(setting["rate"][setting["problem"]]), setting)


def to_target(tx: optax.GradientTransformation, setting: dict):
    """Facts and work of one training as a compiled program of exactly the steps to the target.

    If the training does not reach the target, the program runs the largest number of steps.
    """
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
