"""Quality and variety of the samples of a GAN, of two baselines, and of many further seeds."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, State, System
from panorax.core.step import scan_steps, stacked
from panorax.core.study import family
from panorax.data import images, judges
from panorax.data.judges import Judge

FEW = 20  # images per class of the collapsed baseline


def trained_seeds(system: System, run: Run, seeds: int, key: jax.Array) -> Iterator[State]:
    """Yields the state of each seed after `run.steps` steps.

    Each seed has its own initial state, its own keys, and batches that neither the run nor another
    seed reads.
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

    draw: function (state, key, label) -> samples.  cfg: config with `data`, `run` and `seeds`.
    Metrics with the prefix gaussian_ measure one Gaussian per class, collapsed_ `FEW` images per
    class; mean_ and worst_ are the mean and the worst over the seeds.
    """
    key_judge, key_draw, key_seeds = jax.random.split(key, 3)
    judge, compiled = images.trained_judge(cfg.data, key_judge), jax.jit(draw)
    draw = lambda *args: jax.device_get(compiled(*args))  # one program on all devices at a time
    label = np.repeat(np.arange(cfg.data.classes), cfg.data.per_class)
    x, gaussian = draw(state, key_draw, label), judges.class_gaussians(judge, label, cfg.run.seed)
    few = judges.few_images(judge, label, FEW, cfg.run.seed)
    states = trained_seeds(gan, cfg.run, cfg.seeds, key_seeds)
    sampled = [draw(trained, key_draw, label) for trained in states]

    seeds = [measured(judge, x, label) for x in sampled]
    metrics = judges.real_quality(judge) | measured(judge, x, label) | judges.nearest(judge, x)
    metrics |= family("gaussian_{}", measured(judge, gaussian, label))
    metrics |= family("collapsed_{}", measured(judge, few, label))
    metrics |= over_seeds(seeds)

    sets = {"held-out images": tuple(judge.held_out.values()), "generated": (x, label)}
    sets["Gaussian per class"] = gaussian, label
    drawn = {}
    if seeds:
        sets["worst seed"] = sampled[np.argmax([seed["frechet"] for seed in seeds])], label
        drawn["seeds.png"] = draw_seeds(seeds, metrics)
    return Result(metrics, {"samples.png": judges.draw_images(sets, cfg.data.classes), **drawn})


def measured(judge: Judge, x, label) -> dict[str, float]:
    """Accuracy, Frechet distance and variety of samples."""
    return judges.quality(judge, x, label)._asdict() | judges.variety(judge, x, label)._asdict()


def over_seeds(seeds: list[dict[str, float]]) -> dict[str, float]:
    """Mean and worst value of each metric, NaN if one seed has NaN; empty without seeds."""
    names = seeds[0] if seeds else ()
    columns = {name: np.array([seed[name] for seed in seeds]) for name in names}
    worst = {name: np.max(x) if name == "frechet" else np.min(x) for name, x in columns.items()}
    mean = {name: np.mean(x) for name, x in columns.items()}
    return family("mean_{}", mean) | family("worst_{}", worst)


def draw_seeds(seeds: list[dict[str, float]], metrics: dict[str, float]):
    """Frechet distance, accuracy and variety of each seed."""
    figure, (left, right) = figures.panels(2)
    index = range(len(seeds))
    left.plot(index, [seed["frechet"] for seed in seeds], "o", label="samples")
    left.axhline(metrics["gaussian_frechet"], color="grey", ls="--", label="Gaussian per class")
    left.axhline(metrics["frechet_floor"], color="grey", ls=":", label="training images")
    left.set(title="distance from held-out images", ylabel="Frechet distance")
    left.set_ylim(bottom=0)
    for name in ("accuracy", "coverage", "diversity"):
        right.plot(index, [seed[name] for seed in seeds], "o", label=name)
    right.set(title="accuracy and variety", ylabel="share (real images: 1)", ylim=(0, 1.05))
    for ax in (left, right):
        ax.set(xlabel="seed", xticks=index)
    return figures.legends(figure)
