"""Handwritten digits as data for generative models, and a classifier trained on the real ones as the judge of generated ones."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import datasets
from panorax.core import spec as core_spec
from panorax.core.data import epochs, read_arrays
from panorax.core.errors import UserError
from panorax.core.ranges import Count
from panorax.core.state import Result, State
from panorax.core.step import update
from panorax.nets import convnet, mlp
from panorax.ops.frechet import frechet_distance
from panorax.ops.losses import cross_entropy

STEPS = (1, 2, 4, 8, 50)


@dataclass(frozen=True)
class Config:
    path: str | None = None
    """an .npz with `images` (N, size, size, channels), uint8 or float in [0, 1], and `labels` (N,); None for scikit-learn's digits"""
    size: Count = 8
    channels: Count = 1
    classes: Count = 10
    per_class: Count = 100
    """samples of each class that are judged"""


def shape(cfg: Config) -> tuple[int, int, int]:
    """(Y, X, C) of an image."""
    return (cfg.size, cfg.size, cfg.channels)


def classes(cfg: Config) -> int:
    """Number of labels."""
    return cfg.classes


@functools.cache
def images(cfg: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, label, held-out x, held-out label), x float32 in [-1, 1]. Raises UserError for a file that does not fit the config."""
    if cfg.path is None:
        return datasets.digits()
    arrays = read_arrays(cfg.path, ("images", "labels"))
    x, label = arrays["images"], arrays["labels"]
    x = x[..., None] if x.ndim == 3 else x
    if x.shape[1:] != shape(cfg) or label.ndim != 1 or len(x) < 10 or label.min() < 0 or label.max() >= cfg.classes:
        raise UserError(f"{cfg.path}: images {x.shape} with labels up to {label.max()} do not fit {shape(cfg)} and {cfg.classes} classes")
    x = (2 * (x / 255 if x.dtype == np.uint8 else x) - 1).astype(np.float32)
    held = np.arange(len(x)) % 5 == 4
    return x[~held], label[~held].astype(np.int32), x[held], label[held].astype(np.int32)


def batch(cfg: Config, n: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """The step's training images, every image once an epoch."""
    x, label, _, _ = images(cfg)
    rows = epochs(len(x), n, seed, step)
    return {"x": x[rows], "label": label[rows]}


def held_out(cfg: Config) -> dict[str, np.ndarray]:
    """Images that are never trained on."""
    _, _, x, label = images(cfg)
    return {"x": x, "label": label}


def classifier(cfg: Config, key: jax.Array, steps: int = 600):
    """`f(x) -> (logits (N, classes), features (N, 64))`: a small convolutional network trained on the real training images, shifted at random."""
    tx = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=0.05)
    params = core_spec.init({"torso": convnet.spec((cfg.channels, 32, 64, 64)), "head": mlp.dense_spec(64, cfg.classes, mlp.fan_in(1.0))}, key)

    def forward(params, x):
        features = convnet.apply(params["torso"], x)
        return mlp.dense(params["head"], features), features

    def loss_fn(params, extra, batch, key):
        return jnp.mean(cross_entropy(forward(params, shifted(key, batch["x"]))[0], batch["label"])), (extra, {})

    step = jax.jit(functools.partial(update, loss_fn, tx))
    state = State(params, tx.init(params), (), jnp.int32(0))
    for i in range(steps):
        state, _ = step(state, batch(cfg, 128, 0, i), jax.random.fold_in(key, i))
    return jax.jit(functools.partial(forward, state.params))


def shifted(key: jax.Array, x: jax.Array) -> jax.Array:
    """Every image moved by -1, 0 or 1 pixels each way; black (-1) comes in at the edges."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1.0)
    corner = jax.random.randint(key, (len(x), 2), 0, 3)
    return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), x.shape[1:]))(padded, corner)


def judge(draw, key: jax.Array, cfg: Config) -> Result:
    """For each number of Euler steps: how often the classifier sees the class that was asked for, and the Frechet distance of its features
    to those of the held-out images (the floor is that of the training images). A grid of samples and a plot of both."""
    key_judge, key_draw = jax.random.split(key)
    judged = classifier(cfg, key_judge)
    train, _, real, real_label = images(cfg)
    logits, real_features = judged(real)
    accuracy = lambda logits, label: float(jnp.mean(jnp.argmax(logits, -1) == label))
    metrics = {
        "judge_accuracy": accuracy(logits, real_label),
        "frechet_floor": float(frechet_distance(judged(train)[1], real_features)),
    }
    label = jnp.repeat(jnp.arange(cfg.classes), cfg.per_class)
    panels = {"real": np.stack([real[np.resize(np.flatnonzero(real_label == c), 10)] for c in range(cfg.classes)])}
    for steps in STEPS:
        x = draw(key_draw, label, steps)
        logits, features = judged(x)
        metrics[f"accuracy_{steps}_steps"] = accuracy(logits, label)
        metrics[f"frechet_{steps}_steps"] = float(frechet_distance(features, real_features))
        panels[f"{steps} step{'s' * (steps > 1)}"] = np.asarray(x).reshape(cfg.classes, cfg.per_class, *shape(cfg))
    metrics |= nearest(np.asarray(x), train, real)
    return Result(metrics, {"samples.png": _grid(panels), "quality.png": _quality(metrics)})


def nearest(x: np.ndarray, train: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Median distance from a sample to the nearest training image, and from a held-out image to it: a smaller first one means copying."""
    flat = lambda a: a.reshape(len(a), -1)
    distance = lambda a, b: np.sqrt(np.maximum((flat(a) ** 2).sum(1)[:, None] + (flat(b) ** 2).sum(1)[None] - 2 * flat(a) @ flat(b).T, 0))
    to_train = lambda a: float(np.median(distance(a, train).min(1)))
    return {"sample_to_train": to_train(x), "held_out_to_train": to_train(real)}


def _grid(panels: dict[str, np.ndarray]):
    """A panel each: (classes, samples, Y, X, C) with a class to a row and a white line around every image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.2), layout="constrained")
    for ax, (title, x) in zip(figure.subplots(2, -(-len(panels) // 2)).ravel(), panels.items()):
        x = np.pad(x[:, :10], ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
        rows, columns, Y, X, C = x.shape
        ax.imshow(x.swapaxes(1, 2).reshape(rows * Y, columns * X, C).squeeze(), cmap="gray_r", vmin=-1, vmax=1)
        ax.set(title=title, xticks=(), yticks=())
    return figure


def _quality(metrics):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(STEPS, [metrics[f"accuracy_{k}_steps"] for k in STEPS], "o-")
    left.axhline(metrics["judge_accuracy"], color="grey", ls=":")
    left.set(title="judged to be the class asked for", xlabel="Euler steps", xscale="log", ylim=(0, 1.02))
    right.plot(STEPS, [metrics[f"frechet_{k}_steps"] for k in STEPS], "o-")
    right.axhline(metrics["frechet_floor"], color="grey", ls=":")
    right.set(title="Frechet distance (dotted: real images)", xlabel="Euler steps", xscale="log", yscale="log")
    return figure
