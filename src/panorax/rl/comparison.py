"""Variants of an algorithm trained on the same seeds, which separates an option from luck."""

from typing import NamedTuple

import jax
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl.seeds import train_seed


class Trained(NamedTuple):
    """The training of one variant on S seeds."""

    returns: np.ndarray
    """mean return of the last finished episodes, averaged over each chunk of steps, (S, T)"""
    evaluation: dict[str, np.ndarray]
    """metrics of the evaluation after the last step, (S,)"""


def compared(variants: dict[str, System], run: Run, seeds: int, key: jax.Array) -> Result:
    """Trains every variant on the same `seeds` seeds and draws all learning curves.

    The metrics are the mean and the smallest value over seeds of each metric of the evaluation,
    for each variant. All variants take the same number of environment steps per training step.
    """
    keys, trained = jax.random.split(key, seeds), {}
    for name, system in variants.items():
        train = jax.jit(jax.vmap(lambda key, system=system: train_seed(system, run, key)[1:]))
        curves, evaluation = jax.device_get(train(keys))
        trained[name] = Trained(curves["return"], evaluation)
    values = {
        (metric, name): x for name, t in trained.items() for metric, x in t.evaluation.items()
    }
    metrics = family("mean_{}_{}", {names: x.mean() for names, x in values.items()})
    metrics |= family("min_{}_{}", {names: x.min() for names, x in values.items()})
    per_step = next(iter(variants.values())).per_step["environment_steps"]
    return Result(metrics, {"variants.png": draw_variants(trained, run, per_step)})


def draw_variants(trained: dict[str, Trained], run: Run, per_step: int):
    """Returns over environment steps: a panel per variant, a line per seed, and their mean."""
    columns = min(len(trained), 2)
    rows = -(-len(trained) // columns)
    figure, axes = figures.panels(columns, rows, sharex=True, sharey=True)
    for ax, (name, variant) in zip(axes, trained.items(), strict=False):
        chunks = np.arange(1, variant.returns.shape[1] + 1)
        steps = per_step * np.minimum(run.chunk * chunks, run.steps)
        ax.plot(steps, variant.returns.T, color="grey", lw=0.6)
        ax.plot(steps, variant.returns.mean(0), lw=2, label=f"mean of {len(variant.returns)} seeds")
        ax.set(title=name.replace("_", " "), xlabel="environment steps")
        ax.set(ylabel="mean return of the last episodes")
        ax.locator_params(axis="x", nbins=4)
    for ax in axes[len(trained) :]:
        ax.set_axis_off()
    return figures.legends(figure)
