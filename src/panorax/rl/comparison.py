"""Variants of an algorithm trained on the same seeds, which separates an option from luck."""

import jax

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl.seeds import Curves, train_seeds


def compared(variants: dict[str, System], run: Run, seeds: int, key: jax.Array) -> Result:
    """Trains every variant on the same `seeds` seeds and draws all learning curves.

    The metrics are the mean and the smallest value over seeds of each metric of the evaluation,
    for each variant. All variants take the same number of environment steps per training step.
    """
    keys, trained = jax.random.split(key, seeds), {}
    for name, system in variants.items():
        trained[name] = train_seeds(system, run, keys)
    values = {
        (metric, name): x
        for name, (_, evaluation) in trained.items()
        for metric, x in evaluation.items()
    }
    metrics = family("mean_{}_{}", {names: x.mean() for names, x in values.items()})
    metrics |= family("min_{}_{}", {names: x.min() for names, x in values.items()})
    curves = {name: curves for name, (curves, _) in trained.items()}
    return Result(metrics, {"variants.png": draw_variants(curves)})


def draw_variants(variants: dict[str, Curves]):
    """Returns over environment steps: a panel per variant, a line per seed, and their mean."""
    columns = min(len(variants), 2)
    rows = -(-len(variants) // columns)
    figure, axes = figures.panels(columns, rows, sharex=True, sharey=True)
    for ax, (name, curves) in zip(axes, variants.items(), strict=False):
        returns_ST = curves.values["return"]
        ax.plot(curves.steps, returns_ST.T, color="grey", lw=0.6)
        ax.plot(curves.steps, returns_ST.mean(0), lw=2, label=f"mean of {len(returns_ST)} seeds")
        ax.set(title=name.replace("_", " "), xlabel="environment steps")
        ax.set(ylabel="mean return of the last episodes")
        ax.locator_params(axis="x", nbins=4)
    for ax in axes[len(variants) :]:
        ax.set_axis_off()
    return figures.legends(figure)
