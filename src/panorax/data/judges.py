"""Quality and variety of generated images, by a classifier that is trained on the real ones.

The Frechet distance of Heusel et al. 2017 (arXiv:1706.08500) and the coverage of Naeem et al. 2020
(arXiv:2002.09797), with the features of this classifier in place of Inception's; and the share of
samples that the classifier assigns to the class asked for.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.core.step import update
from panorax.data.augmentation import shifted
from panorax.nets import mlp
from panorax.nets.convolutional import convnet
from panorax.ops.frechet import frechet_distance
from panorax.ops.losses import cross_entropy

WIDTHS = (32, 64, 64)
NEIGHBORS = 5  # k of the coverage


@dataclass(frozen=True)
class Judge:
    """A classifier of real images, and the real images that samples are compared with.

    classify(x) -> (logits, features).  train, held_out: {"x": images in [-1, 1], "label": int32}.
    """

    classify: Callable
    train: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]

    @functools.cached_property
    def features(self) -> jax.Array:
        """Features of the held-out images, (N, D)."""
        return self.classify(self.held_out["x"])[1]


class Variety(NamedTuple):
    """Measures that fall when a generator collapses.

    classes: number of classes that the classifier assigns at least half of their share of samples.
    diversity: mean distance between two samples of one class over that of two training images, in
    the class where it is smallest; NaN if no class has two.
    coverage: share of held-out images with a sample nearer than their 5th nearest held-out image,
    by their features; near 1 for images from the distribution of the data (Naeem et al. 2020).
    """

    classes: int
    diversity: float
    coverage: float


def classifier(
    batches: Callable[[int], dict], channels: int, classes: int, key: jax.Array, steps: int = 600
) -> Callable:
    """`f(x) -> (logits (N, classes), features (N, 64))`: a small convolutional network.

    It is trained for `steps` updates on `batches(step)`, {"x": images in [-1, 1], "label": int32};
    every image is shifted at random by up to a pixel.
    """
    tx = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=0.05)
    head = mlp.dense_spec(WIDTHS[-1], classes, mlp.fan_in(1.0))
    spec = {"torso": convnet.spec((channels, *WIDTHS)), "head": head}
    params = jax.jit(functools.partial(core_spec.init, spec))(key)

    def forward(params, x):
        features = convnet.apply(params["torso"], x)
        return mlp.dense(params["head"], features), features

    def loss_fn(params, extra, batch, key):
        logits, _ = forward(params, shifted(key, batch["x"], 1))
        return jnp.mean(cross_entropy(logits, batch["label"])), (extra, {})

    step = jax.jit(functools.partial(update, loss_fn, tx))
    opt = jax.jit(tx.init)(params)
    for i in range(steps):
        params, opt, _, _ = step(params, opt, (), batches(i), jax.random.fold_in(key, i))
    return jax.jit(functools.partial(forward, params))


def quality(judge: Judge, x, label) -> tuple[float, float]:
    """Share of images that the classifier assigns to their label, and the Frechet distance.

    The distance is that of the features of the images to those of the held-out images.
    """
    logits, features = judge.classify(x)
    return _accuracy(logits, label), float(frechet_distance(features, judge.features))


def real_quality(judge: Judge) -> dict[str, float]:
    """Accuracy of the classifier on held-out images; Frechet distance of training images."""
    logits, _ = judge.classify(judge.held_out["x"])
    _, floor = quality(judge, **judge.train)
    return {"judge_accuracy": _accuracy(logits, judge.held_out["label"]), "frechet_floor": floor}


def _accuracy(logits, label) -> float:
    return float(np.mean(np.argmax(np.asarray(logits), -1) == np.asarray(label)))


def variety(judge: Judge, x, label) -> Variety:
    """How much of the data a set of samples covers; `label` holds the classes asked for."""
    logits, features = map(np.asarray, judge.classify(x))
    counts = np.bincount(np.argmax(logits, -1), minlength=logits.shape[-1])
    wanted = np.bincount(label, minlength=logits.shape[-1])
    classes = int(np.sum(counts[wanted > 0] >= wanted[wanted > 0] / 2))
    spread, real = (
        _spread_by_class(np.asarray(images), np.asarray(of))
        for images, of in ((x, label), (judge.train["x"], judge.train["label"]))
    )
    ratios = [spread[c] / real[c] for c in spread.keys() & real.keys()]
    diversity = min(ratios, default=np.nan)
    between = np.sort(distances(judge.features, judge.features), 1)  # column 0: an image itself
    radius = between[:, min(NEIGHBORS, len(between) - 1)]
    coverage = float(np.mean(distances(judge.features, features).min(1) < radius))
    return Variety(classes, float(diversity), coverage)


def _spread_by_class(x: np.ndarray, label: np.ndarray) -> dict[int, float]:
    """Mean distance between two different images of each class that has two or more."""
    members = {int(c): x[label == c] for c in np.unique(label) if np.sum(label == c) > 1}
    return {c: distances(a, a).sum() / (len(a) * (len(a) - 1)) for c, a in members.items()}


def distances(a, b) -> np.ndarray:
    """Euclidean distance of every row of `a` from every row of `b`, (len(a), len(b)).

    On the host: sets of many sizes would each compile a program.
    """
    a, b = (np.asarray(rows, np.float32).reshape(len(rows), -1) for rows in (a, b))
    squares = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None]
    return np.sqrt(np.maximum(squares - 2 * a @ b.T, 0))


def nearest(judge: Judge, x) -> dict[str, float]:
    """Median distance to the nearest training image, of samples and of held-out images.

    Samples that lie nearer than held-out images are copies.
    """

    def to_train(images) -> float:
        return float(np.median(distances(images, judge.train["x"]).min(1)))

    return {"sample_to_train": to_train(x), "held_out_to_train": to_train(judge.held_out["x"])}


def class_gaussians(judge: Judge, label: np.ndarray, seed: int) -> np.ndarray:
    """One image per label from the Gaussian with mean and covariance of its training images.

    A baseline without a network. Pixels are not clipped. Exact without a matrix of covariances: a
    normal combination of the n centred images over sqrt(n - 1) has their covariance.
    """
    rng = np.random.default_rng(seed)
    x = np.empty((len(label), *judge.train["x"].shape[1:]), np.float32)
    for c in np.unique(label):
        real = judge.train["x"][judge.train["label"] == c]
        mean, rows = real.mean(0), np.flatnonzero(label == c)
        noise = rng.standard_normal((len(rows), len(real))) / np.sqrt(max(len(real) - 1, 1))
        x[rows] = mean + np.tensordot(noise, real - mean, 1)
    return x


def few_images(judge: Judge, label: np.ndarray, n: int, seed: int) -> np.ndarray:
    """One image per label, out of only `n` training images of each class.

    A baseline with perfect images and little variety: a generator that collapsed on n of them.
    """
    rng = np.random.default_rng(seed)
    members = {c: np.flatnonzero(judge.train["label"] == c) for c in np.unique(label)}
    kept = {c: rng.permutation(rows)[:n] for c, rows in members.items()}
    return judge.train["x"][[rng.choice(kept[c]) for c in label]]


def panel(x, label, classes: int) -> np.ndarray:
    """Ten images of each class, repeated if there are fewer: (classes, 10, Y, X, C) for `grid`."""
    rows = [np.resize(np.flatnonzero(np.asarray(label) == c), 10) for c in range(classes)]
    return np.asarray(x)[np.stack(rows)]


def grid(panels: dict[str, np.ndarray]):
    """A panel each: (classes, samples, Y, X, C) in [-1, 1], a class to a row, lines between."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.2), layout="constrained")
    for ax, (title, x) in zip(figure.subplots(2, -(-len(panels) // 2)).ravel(), panels.items()):
        x = np.pad(x[:, :10], ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
        rows, columns, Y, X, C = x.shape
        page = np.clip(x.swapaxes(1, 2).reshape(rows * Y, columns * X, C).squeeze() / 2 + 0.5, 0, 1)
        ax.imshow(page, cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=title, xticks=(), yticks=())
    return figure
