"""First-order optimisers at work: the zig-zag on a long valley, and decay of the weights beside the gradient or in it.

The rules are those of `panorax.maths.optimisation.update_rules`. On f(x) = (x_1^2 + k x_2^2) / 2 plain descent shrinks the distance by no more than (k - 1)/(k + 1) a
step, crossing the valley each time; momentum by about 1 - sqrt(2 / k). Adam with a penalty d/2 |p|^2 divides the decay d p by the size of the
gradients like everything else, so that weights with large gradients hardly decay; AdamW decays all alike (Loshchilov & Hutter 2019, arXiv:1711.05101).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.data import datasets
from panorax.maths.optimisation.update_rules import adam_l2, adamw, momentum, scheduled, sgd
from panorax.nets import mlp
from panorax.ops.losses import cross_entropy


@checked
class Config:
    condition: Positive = 100.0
    """largest over smallest curvature of the bowl"""
    bowl_steps: Count = 2000
    """at most, to a value of one millionth of the first"""
    images: Count = 600
    """digits trained on"""
    noise: Share = 0.3
    """share of them whose label is replaced by a random one"""
    hidden: Count = 128
    steps: Count = 1500
    batch: Count = 64
    rates: tuple[Positive, ...] = (1e-3, 3e-3, 1e-2)
    """learning rates tried"""
    decays: tuple[Positive, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """weight decays tried, of AdamW and of Adam alike"""
    seeds: Count = 10
    seed: Whole = 0

    def __post_init__(self):
        if (
            self.condition < 1
            or not self.rates
            or not self.decays
            or self.bowl_steps < 2
            or self.seeds < 2
        ):
            raise UserError(
                "condition must be at least 1, rates and decays not empty, bowl-steps and seeds at least 2"
            )


def descent(
    tx: optax.GradientTransformation, start, gradient: Callable, steps: int
) -> Float[Array, "steps+1 n"]:
    """The points that the optimiser visits."""

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(gradient(x), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    _, path = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


def bowl(cfg: Config) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Paths on the bowl at the top of this file, k the condition: plain descent at its best rate 2 / (1 + k), momentum at the rate 2 / k, which keeps the
    steep direction from shooting far over. Metrics: steps to a millionth of the first value, and in how many of the first 20 steps the steep
    coordinate changed its sign."""
    k, curvature = cfg.condition, jnp.array([1.0, cfg.condition])
    start, root = jnp.array([k**0.5, 1.0]), k**0.5
    contenders = {
        "sgd": sgd(2 / (1 + k)),
        "momentum": momentum(2 / k, (1 - (2 / k) ** 0.5) ** 2),
        "nesterov": momentum(1 / k, (root - 1) / (root + 1), nesterov=True),
        "adam": scheduled(optax.cosine_decay_schedule(1.0, cfg.bowl_steps), adamw(1.0)),
    }
    paths, metrics = {}, {}
    for name, tx in contenders.items():
        paths[name] = path = np.asarray(
            jax.jit(lambda: descent(tx, start, lambda x: curvature * x, cfg.bowl_steps))()
        )
        value = 0.5 * (path**2 @ np.array([1.0, k]))
        below = np.flatnonzero(value < 1e-6 * value[0])
        metrics[f"steps_{name}"] = float(below[0] if len(below) else cfg.bowl_steps)
        metrics[f"turns_{name}"] = float(np.sum(path[:20, 1] * path[1:21, 1] < 0))
    return paths, metrics


def generalisation(optimiser: Callable, cfg: Config, key) -> np.ndarray:
    """Accuracy on held-out digits of a perceptron trained on a few whose labels are partly wrong, by (rate, decay, seed), all trained at once."""
    x, label, held_x, held_label = datasets.digit_vectors()
    rng = np.random.default_rng(cfg.seed)
    label = np.where(
        rng.random(len(label)) < cfg.noise, rng.integers(0, 10, len(label)), label
    ).astype(np.int32)
    x, held_x = jnp.asarray(x[: cfg.images]), jnp.asarray(held_x)
    label = jnp.asarray(label[: cfg.images])
    spec, unit_rate = mlp.spec((64, cfg.hidden, 10)), optax.cosine_decay_schedule(1.0, cfg.steps)
    logits = lambda params, x: mlp.perceptron(params, x, jax.nn.relu)

    def trained(rate, decay, key):
        key_init, key_batch = jax.random.split(key)

        def loss(params, key):
            rows = jax.random.randint(key, (cfg.batch,), 0, len(x))
            return jnp.mean(cross_entropy(logits(params, x[rows]), label[rows]))

        tx = scheduled(unit_rate, optimiser(rate, decay=decay))
        params, _ = descend(
            loss, tx, core_spec.init(spec, key_init), jax.random.split(key_batch, cfg.steps)
        )
        return jnp.mean(jnp.argmax(logits(params, held_x), 1) == held_label)

    by_seed = jax.vmap(trained, (None, None, 0))
    grid = jax.vmap(jax.vmap(by_seed, (None, 0, None)), (0, None, None))
    return np.asarray(
        jax.jit(grid)(jnp.array(cfg.rates), jnp.array(cfg.decays), jax.random.split(key, cfg.seeds))
    )


def study(cfg: Config, key) -> Result:
    """The bowl; and AdamW beside Adam with an L2 penalty over a grid of rates and decays, with the same seeds."""
    paths, metrics = bowl(cfg)
    metrics["momentum_speedup"] = metrics["steps_sgd"] / metrics["steps_momentum"]
    grids = {
        name: generalisation(optimiser, cfg, key)
        for name, optimiser in (("adamw", adamw), ("adam_l2", adam_l2))
    }
    by_seed = {}
    for name, grid in grids.items():
        best = np.unravel_index(grid.mean(2).argmax(), grid.shape[:2])
        by_seed[name] = grid[best]
        metrics[f"accuracy_{name}"] = float(grid[best].mean())
        metrics[f"best_rate_{name}"], metrics[f"best_decay_{name}"] = (
            cfg.rates[best[0]],
            cfg.decays[best[1]],
        )
    gain = by_seed["adamw"] - by_seed["adam_l2"]
    metrics["adamw_gain_in_errors"] = float(
        gain.mean() / max(gain.std(ddof=1) / cfg.seeds**0.5, 1e-6)
    )
    metrics["accuracy_without_decay"] = float(grids["adamw"][:, 0].mean(1).max())
    return Result(metrics, {"bowl.png": draw_bowl(paths, cfg), "decay.png": draw_grids(grids, cfg)})


def draw_bowl(paths: dict[str, np.ndarray], cfg: Config):
    """The first steps on the contour lines, the steep direction stretched, and the value over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4), layout="constrained")
    *panels, curve = figure.subplots(1, len(paths) + 1)
    k = cfg.condition
    side = np.linspace(-1.3, 1.3, 120)
    for i, (ax, (name, path)) in enumerate(zip(panels, paths.items(), strict=True)):
        ax.contour(
            side * k**0.5,
            side,
            0.5 * (k * side[None] ** 2 + k * side[:, None] ** 2),
            levels=12,
            colors="0.85",
        )
        ax.plot(path[:40, 0], path[:40, 1], "-o", ms=3, lw=1, color=f"C{i}")
        ax.set(
            title=f"{name}, 40 steps",
            xlabel="flat direction",
            xlim=(-0.4 * k**0.5, 1.15 * k**0.5),
            ylim=(-1.2, 1.2),
        )
        curve.semilogy(0.5 * (path**2 @ np.array([1.0, k])) + 1e-12, color=f"C{i}", label=name)
    curve.set(title="value", xlabel="step", xlim=(0, 400), ylim=(1e-8, None))
    curve.legend(frameon=False)
    curve.grid(alpha=0.3)
    return figure


def draw_grids(grids: dict[str, np.ndarray], cfg: Config):
    """Held-out accuracy over rates and decays."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    lowest, highest = (
        f(
            max(grid.mean(2).max() - 0.05, 0) if f is min else grid.mean(2).max()
            for grid in grids.values()
        )
        for f in (min, max)
    )
    for ax, (name, grid) in zip(figure.subplots(1, 2), grids.items(), strict=True):
        shown = ax.imshow(grid.mean(2), aspect="auto", vmin=lowest, vmax=highest)
        ax.set(
            title={"adamw": "AdamW", "adam_l2": "Adam + L2"}[name],
            xlabel="decay",
            ylabel="learning rate",
        )
        ax.set_xticks(range(len(cfg.decays)), [f"{d:g}" for d in cfg.decays], rotation=45)
        ax.set_yticks(range(len(cfg.rates)), [f"{r:g}" for r in cfg.rates])
        figure.colorbar(shown, ax=ax, label="held-out accuracy")
    return figure
