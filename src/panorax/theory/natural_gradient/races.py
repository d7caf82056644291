"""Steps to a target loss of several optimisers, each at the best setting of its grid.

The best setting needs the fewest steps, as a median over the seeds; a tie goes to the smaller last
loss. It is chosen on the reported seeds, which favours every method equally. All methods train on
the same batches. Processor time varies between runs; it is in a table and a figure, not a metric.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.theory.natural_gradient.kfac_training import Problem, smoothed, start, steps_to, train

LABELS = {"kfac": "K-FAC", "adam": "Adam", "sgd": "SGD with momentum"}


class Contender(NamedTuple):
    """An optimiser and the grid of its settings."""

    make: Callable
    """optax transformation as a function of a setting, a float32 array"""
    settings: Sequence
    """grid: numbers, or pairs of rate and momentum"""
    steps: int
    """steps per training"""


class Goal(NamedTuple):
    """The target of a race."""

    loss: float
    """target loss, in nats"""
    window: int
    """number of last steps whose mean loss must be below the target"""


class Outcome(NamedTuple):
    """One optimiser at one setting of its grid."""

    steps: float
    """median over the seeds of the steps to the target"""
    last_loss: float
    """median over the seeds of the mean of the last `window` losses, in nats; NaN is infinite"""
    setting: Any
    """number, or pair of rate and momentum"""
    losses_NS: np.ndarray
    """loss of each seed and step, in nats"""
    seconds: float
    """processor time per step, in seconds"""


def outcome(run: Callable, setting, drawn: Sequence, goal: Goal) -> Outcome:
    """Trains every seed of `drawn` at one setting."""
    value, before = jnp.asarray(setting, jnp.float32), time.process_time()
    losses = np.stack([np.asarray(run(value, *of_seed)) for of_seed in drawn])
    seconds = (time.process_time() - before) / losses.size
    steps = np.median([steps_to(of_seed, goal.loss, goal.window) for of_seed in losses])
    last = [np.nan_to_num(smoothed(of_seed, goal.window)[-1], nan=np.inf) for of_seed in losses]
    return Outcome(float(steps), float(np.median(last)), setting, losses, seconds)


def race(
    problem: Problem,
    contenders: dict[str, Contender],
    goal: Goal,
    batch: int,
    seeds: int,
    key,
) -> dict[str, Outcome]:
    """The best outcome of each contender."""
    longest = max(contender.steps for contender in contenders.values())
    begin = jax.jit(lambda key: start(problem, key, longest, batch))
    drawn = [begin(key) for key in jax.random.split(key, seeds)]
    best = {}
    for name, (make, settings, steps) in contenders.items():
        run = jax.jit(
            lambda setting, params, rows, keys, make=make, steps=steps: train(
                problem, make(setting), params, rows[:steps], keys[:steps]
            )
        )
        run = run.lower(jnp.asarray(settings[0], jnp.float32), *drawn[0]).compile()
        outcomes = [outcome(run, setting, drawn, goal) for setting in settings]
        best[name] = min(outcomes, key=lambda each: (each.steps, each.last_loss))
    return best


def race_result(problem: str, outcomes: dict[str, Outcome], goal: Goal) -> Result:
    """Metrics, a table of processor times and a figure of one race."""
    settings = {(problem, name): np.atleast_1d(o.setting) for name, o in outcomes.items()}
    pairs = {name: setting for name, setting in settings.items() if len(setting) == 2}
    metrics = {
        **family("{}_steps_{}", {(problem, name): o.steps for name, o in outcomes.items()}),
        **family("{}_best_{}", {name: setting[0] for name, setting in settings.items()}),
        **family("{}_best_{}_momentum", {name: setting[1] for name, setting in pairs.items()}),
    }
    return Result(
        metrics,
        {
            f"{problem}_race.png": draw_race(problem, outcomes, goal),
            f"{problem}_seconds.txt": table(outcomes, goal),
        },
    )


def table(outcomes: dict[str, Outcome], goal: Goal) -> str:
    """One line for each optimiser: setting, steps to the target, processor time."""
    lines = [
        f"{name:5} setting {o.setting}: {o.steps:g} steps to {goal.loss:g}, "
        f"{1e3 * o.seconds:.2f} ms each, {o.steps * o.seconds:.2f} s\n"
        for name, o in outcomes.items()
    ]
    return "".join(lines)


def draw_race(problem: str, outcomes: dict[str, Outcome], goal: Goal):
    """The smoothed losses of every seed over steps and over processor time; the target dotted."""
    figure, (by_step, by_time) = figures.panels(2, sharey=True)
    for (name, o), color in zip(outcomes.items(), figures.COLORS):
        for i, losses in enumerate(smoothed(of_seed, goal.window) for of_seed in o.losses_NS):
            step, label = np.arange(len(losses)) + goal.window, None if i else LABELS[name]
            by_step.loglog(step, losses, color=color, lw=1, label=label)
            by_time.loglog(step * o.seconds, losses, color=color, lw=1, label=label)
    for ax in (by_step, by_time):
        ax.axhline(goal.loss, color="0.4", ls=":")
        ax.set_title(problem)
    by_step.set(xlabel="step", ylabel="loss (nats)")
    by_time.set(xlabel="processor time (s)")
    return figures.legends(figure)
