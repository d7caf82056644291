"""First-order optimisers: zig-zag in a long valley, and decoupled weight decay beside L2 penalties.

The update rules are in `panorax.maths.optimisation.update_rules`. On the bowl
f(x) = (x_1^2 + k x_2^2) / 2 gradient descent at its best rate crosses the valley in every step.
Each step multiplies the distance to the minimum by (k - 1)/(k + 1), with momentum by about
1 - sqrt(2 / k).

Adam with a penalty d/2 |p|^2 divides the decay d p by the size of the gradients, so weights with
large gradients hardly decay. AdamW decays all weights at the same rate
(Loshchilov & Hutter 2019, arXiv:1711.05101).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths.optimisation.update_rules import adam_l2, adamw, momentum, scheduled, sgd
from panorax.nets import mlp
from panorax.ops.losses import cross_entropy

DECAYED = {"adamw": adamw, "adam_l2": adam_l2}
TITLES = {"adamw": "AdamW", "adam_l2": "Adam with an L2 penalty"}
ENOUGH = 1e-6
"""value of f at which an optimiser has converged on the bowl, relative to f at the start"""
COUNTED, DRAWN = 20, 40
"""first steps on the bowl in which sign changes are counted, and first steps that are drawn"""


@checked
class Config:
    condition: Positive = 100.0
    """condition number k of the bowl: largest over smallest curvature"""
    bowl_steps: Count = 2000
    """steps of each optimiser on the bowl"""
    images: Count = 600
    """training images"""
    noise: Share = 0.3
    """share of training labels that are replaced by random ones"""
    hidden: Count = 128
    """width of the hidden layer"""
    steps: Count = 1500
    """training steps"""
    batch: Count = 64
    """images per step"""
    rates: tuple[Positive, ...] = (1e-3, 3e-3, 1e-2)
    """learning rates of the grid"""
    decays: tuple[Positive, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """weight decays of the grid for both optimisers; the first counts as no decay"""
    seeds: Count = 10
    """networks trained at each point of the grid"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.condition < 1:
            raise UserError("condition must be at least 1")
        if not self.rates or not self.decays:
            raise UserError("rates and decays must not be empty")
        if self.bowl_steps < COUNTED or self.seeds < 2:
            raise UserError(f"bowl-steps must be at least {COUNTED}, seeds at least 2")


def path(
    tx: optax.GradientTransformation, start: Float[Array, " n"], gradient: Callable, steps: int
) -> Float[Array, "steps+1 n"]:
    """The points that an optimiser visits, from the start on."""

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(gradient(x), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    _, points = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return jnp.concatenate([start[None], points])


def bowl_paths(cfg: Config) -> dict[str, np.ndarray]:
    """The path of every optimiser on the bowl, (steps + 1, 2).

    Gradient descent has its best rate 2 / (1 + k). Momentum has the rate 2 / k, which keeps the
    steep direction from overshooting far.
    """
    k, root = cfg.condition, cfg.condition**0.5
    start, curvature = jnp.array([root, 1.0]), jnp.array([1.0, k])
    optimisers = {
        "sgd": sgd(2 / (1 + k)),
        "momentum": momentum(2 / k, (1 - (2 / k) ** 0.5) ** 2),
        "nesterov": momentum(1 / k, (root - 1) / (root + 1), nesterov=True),
        "adam": scheduled(optax.cosine_decay_schedule(1.0, cfg.bowl_steps), adamw(1.0)),
    }
    run = lambda tx: jax.jit(lambda: path(tx, start, lambda x: curvature * x, cfg.bowl_steps))()
    return {name: np.asarray(run(tx)) for name, tx in optimisers.items()}


def bowl_values(path: np.ndarray, condition: float) -> np.ndarray:
    """f along a path."""
    return 0.5 * (path**2 @ np.array([1.0, condition]))


def bowl_metrics(paths: dict[str, np.ndarray], cfg: Config) -> dict[str, float]:
    """Steps to a millionth of the first value, and sign changes of the steep coordinate."""
    steps, turns = {}, {}
    for name, points in paths.items():
        values = bowl_values(points, cfg.condition)
        converged = np.flatnonzero(values < ENOUGH * values[0])
        steps[name] = converged[0] if len(converged) else cfg.bowl_steps
        steep = points[: COUNTED + 1, 1]
        turns[name] = np.sum(steep[:-1] * steep[1:] < 0)
    return {
        **family("steps_{}", steps),
        **family("turns_{}", turns),
        "momentum_speedup": float(steps["sgd"] / steps["momentum"]),
    }


def noisy_digits(cfg: Config) -> tuple[np.ndarray, np.ndarray]:
    """The training images, and their labels with a share `cfg.noise` drawn at random."""
    x, label, _, _ = datasets.digit_vectors()
    rng = np.random.default_rng(cfg.seed)
    replaced, random = rng.random(len(label)) < cfg.noise, rng.integers(0, 10, len(label))
    return x[: cfg.images], np.where(replaced, random, label).astype(np.int32)[: cfg.images]


def accuracies(key, optimiser: Callable, cfg: Config) -> np.ndarray:
    """Held-out accuracy of perceptrons trained on noisy digits (rates, decays, seeds).

    All networks are trained at once. `optimiser(rate, decay=decay)` makes an optimiser, whose rate
    falls to 0 along half a cosine.
    """
    x, label = map(jnp.asarray, noisy_digits(cfg))
    _, _, x_held, label_held = map(jnp.asarray, datasets.digit_vectors())
    spec, schedule = mlp.spec((64, cfg.hidden, 10)), optax.cosine_decay_schedule(1.0, cfg.steps)
    logits = lambda params, x: mlp.perceptron(params, x, jax.nn.relu)

    def accuracy(rate, decay, key):
        key_init, key_batch = jax.random.split(key)

        def loss(params, key):
            rows = jax.random.randint(key, (cfg.batch,), 0, len(x))
            return jnp.mean(cross_entropy(logits(params, x[rows]), label[rows]))

        tx = scheduled(schedule, optimiser(rate, decay=decay))
        start = core_spec.init(spec, key_init)
        params, _ = descend(loss, tx, start, jax.random.split(key_batch, cfg.steps))
        return jnp.mean(jnp.argmax(logits(params, x_held), 1) == label_held)

    by_seed = jax.vmap(accuracy, (None, None, 0))
    grid = jax.jit(jax.vmap(jax.vmap(by_seed, (None, 0, None)), (0, None, None)))
    keys = jax.random.split(key, cfg.seeds)
    return np.asarray(grid(jnp.array(cfg.rates), jnp.array(cfg.decays), keys))


def decay_metrics(grids: dict[str, np.ndarray], cfg: Config) -> dict[str, float]:
    """Accuracy of both optimisers at their best rate and decay, and the gain of AdamW."""
    best = {
        name: np.unravel_index(grid.mean(2).argmax(), grid.shape[:2])
        for name, grid in grids.items()
    }
    at_best = {name: grid[best[name]] for name, grid in grids.items()}
    gain = at_best["adamw"] - at_best["adam_l2"]
    standard_error = max(gain.std(ddof=1) / len(gain) ** 0.5, 1e-6)
    return {
        **family("accuracy_{}", {name: each.mean() for name, each in at_best.items()}),
        **family("best_rate_{}", {name: cfg.rates[i] for name, (i, _) in best.items()}),
        **family("best_decay_{}", {name: cfg.decays[j] for name, (_, j) in best.items()}),
        "adamw_gain_in_errors": float(gain.mean() / standard_error),
        "accuracy_without_decay": float(grids["adamw"][:, 0].mean(1).max()),
    }


def bowl(key, cfg: Config) -> Result:
    """Four optimisers on the bowl."""
    paths = bowl_paths(cfg)
    return Result(
        bowl_metrics(paths, cfg),
        {"bowl.png": draw_paths(paths, cfg), "values.png": draw_values(paths, cfg)},
    )


def decay(key, cfg: Config) -> Result:
    """AdamW beside Adam with an L2 penalty over rates and decays, with the same seeds."""
    grids = {name: accuracies(key, optimiser, cfg) for name, optimiser in DECAYED.items()}
    return Result(decay_metrics(grids, cfg), {"decay.png": draw_grids(grids, cfg)})


def draw_paths(paths: dict[str, np.ndarray], cfg: Config):
    """The first steps on the contour lines of the bowl, with the steep direction stretched."""
    k, side = cfg.condition, np.linspace(-1.3, 1.3, 120)
    value = 0.5 * k * (side[None] ** 2 + side[:, None] ** 2)
    figure, axes = figures.panels(len(paths), sharey=True)
    for ax, color, (name, points) in zip(axes, figures.COLORS, paths.items()):
        ax.contour(side * k**0.5, side, value, levels=12, colors="0.85")
        ax.plot(*points[:DRAWN].T, "-o", ms=3, lw=1, color=color)
        ax.set(
            title=f"{name}, {DRAWN} steps", xlim=(-0.4 * k**0.5, 1.15 * k**0.5), ylim=(-1.2, 1.2)
        )
        ax.set(xlabel="flat direction x_1", ylabel="steep direction x_2")
        ax.label_outer()
    return figure


def draw_values(paths: dict[str, np.ndarray], cfg: Config):
    """f over the steps of every optimiser."""
    figure, (ax,) = figures.panels()
    for name, points in paths.items():
        ax.semilogy(bowl_values(points, cfg.condition) + 1e-12, label=name)
    ax.set(title="value on the bowl", xlabel="step", ylabel="f", xlim=(0, 400), ylim=(1e-8, None))
    return figures.legends(figure)


def draw_grids(grids: dict[str, np.ndarray], cfg: Config):
    """Held-out accuracy over rates and decays, mean over seeds."""
    figure, axes = figures.panels(len(grids), width=5.5)
    means = {name: grid.mean(2) for name, grid in grids.items()}
    highest = max(mean.max() for mean in means.values())
    lowest = max(min(mean.max() for mean in means.values()) - 0.05, 0)
    for ax, (name, mean) in zip(axes, means.items()):
        image = ax.imshow(mean, aspect="auto", vmin=lowest, vmax=highest)
        ax.set(title=TITLES[name], xlabel="weight decay", ylabel="learning rate")
        ax.set_xticks(range(len(cfg.decays)), [f"{d:g}" for d in cfg.decays], rotation=45)
        ax.set_yticks(range(len(cfg.rates)), [f"{r:g}" for r in cfg.rates])
        ax.grid(False)
        figure.colorbar(image, ax=ax, label="held-out accuracy")
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Optimisers on a bowl, and weight decay on digits."""
    return {
        "bowl": functools.partial(bowl, cfg=cfg),
        "decay": functools.partial(decay, cfg=cfg),
    }
