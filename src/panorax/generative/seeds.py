"""Samples of one training run and of the same training from many seeds: does any seed collapse?"""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from panorax.core.config import Run
from panorax.core.state import Result, State, System
from panorax.core.step import scan_steps, stacked
from panorax.data import images, judges
from panorax.data.judges import Judge

FEW = 20  # images per class of the collapsed baseline


def trained_seeds(system: System, run: Run, seeds: int, key: jax.Array) -> Iterator[State]:
    """The state of each seed after `run.steps` steps.

    A seed has its own initial state, keys and part of the stream of batches; none sees the batches
    of the run itself.
    """
    init = jax.jit(system.init_state)

    @jax.jit
    def chunk(state, batches, key):
        n = len(jax.tree.leaves(batches)[0])
        return scan_steps(system.train_step, state, batches, key, n)[0]

    for seed in range(seeds):
        key_init, key_train = jax.random.split(jax.random.fold_in(key, seed))
        state, first = init(key_init), (seed + 1) * run.steps
        for start in range(0, run.steps, run.chunk):
            n = min(run.chunk, run.steps - start)
            state = chunk(state, stacked(system.batches, first + start, n), key_train)
        yield state


def report(state: State, key: jax.Array, gan: System, draw: Callable, cfg) -> Result:
    """Quality and variety of samples of the run, of two baselines, and of `cfg.seeds` other seeds.

    `draw(state, key, label)` samples; `cfg` has `data`, `run` and `seeds`. Metrics of baselines are
    called gaussian_... (a Gaussian per class) and collapsed_... (`FEW` images per class), the mean
    and the worst over the seeds mean_... and worst_...
    """
    key_judge, key_draw, key_seeds = jax.random.split(key, 3)
    judge, draw = images.trained_judge(cfg.data, key_judge), jax.jit(draw)
    label = np.repeat(np.arange(cfg.data.classes), cfg.data.per_class)
    x, gaussian = draw(state, key_draw, label), judges.class_gaussians(judge, label, cfg.run.seed)
    few = judges.few_images(judge, label, FEW, cfg.run.seed)
    metrics = judges.real_quality(judge) | measured(judge, x, label)
    metrics |= named("gaussian", measured(judge, gaussian, label))
    metrics |= named("collapsed", measured(judge, few, label))
    metrics |= judges.nearest(judge, x)

    states = trained_seeds(gan, cfg.run, cfg.seeds, key_seeds)
    sampled = [draw(of_seed, key_draw, label) for of_seed in states]
    seeds = [measured(judge, x, label) for x in sampled]
    metrics |= over_seeds(seeds)

    sets = {"real": tuple(judge.held_out.values())}
    sets |= {"generated": (x, label), "Gaussian per class": (gaussian, label)}
    figures = {}
    if seeds:
        worst = int(np.argmax([seed["frechet"] for seed in seeds]))
        sets["worst seed"] = sampled[worst], label
        figures["seeds.png"] = _figure(seeds, metrics)
    panels = {name: judges.panel(*rows, cfg.data.classes) for name, rows in sets.items()}
    return Result(metrics, {"samples.png": judges.grid(panels), **figures})


def measured(judge: Judge, x, label) -> dict[str, float]:
    """Accuracy, Frechet distance and variety of samples."""
    accuracy, frechet = judges.quality(judge, x, label)
    return {"accuracy": accuracy, "frechet": frechet} | judges.variety(judge, x, label)._asdict()


def named(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    """Metrics under `prefix_name`."""
    return {f"{prefix}_{name}": x for name, x in metrics.items()}


def over_seeds(seeds: list[dict[str, float]]) -> dict[str, float]:
    """Mean and worst of each metric; NaN if it is NaN for one seed. Nothing without a seed."""
    names = seeds[0] if seeds else ()
    columns = {name: np.array([seed[name] for seed in seeds]) for name in names}
    worst = {name: np.max if name == "frechet" else np.min for name in columns}
    mean = {name: float(np.mean(x)) for name, x in columns.items()}
    return named("mean", mean) | named("worst", {n: float(worst[n](x)) for n, x in columns.items()})


def _figure(seeds: list[dict[str, float]], metrics: dict[str, float]):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = range(len(seeds))
    left.bar(places, [seed["frechet"] for seed in seeds])
    left.axhline(metrics["gaussian_frechet"], color="grey", ls="--", label="Gaussian per class")
    left.axhline(metrics["frechet_floor"], color="grey", ls=":", label="training images")
    left.set(title="Frechet distance", xlabel="seed", xticks=list(places))
    left.legend(frameon=False)
    for name in ("accuracy", "coverage", "diversity"):
        right.plot(places, [seed[name] for seed in seeds], "o", label=name)
    right.set(
        title="accuracy and variety (real images: 1)",
        xlabel="seed",
        xticks=list(places),
        ylim=(0, 1.05),
    )
    right.legend(frameon=False)
    return figure
