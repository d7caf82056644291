"""Quality and variety of generated images, measured by a classifier of real images.

The measures are the share of samples that the classifier assigns to the requested class, the
Frechet distance (Heusel et al. 2017, arXiv:1706.08500) and the coverage (Naeem et al. 2020,
arXiv:2002.09797). Features come from this classifier instead of Inception.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.step import update
from panorax.data.augmentation import shifted
from panorax.nets import mlp
from panorax.nets.convolutional import convnet
from panorax.ops.frechet import frechet_distance
from panorax.ops.losses import cross_entropy

WIDTHS = (32, 64, 64)
NEIGHBORS = 5  # k of the coverage
SHOWN = 10  # images of each class in a figure


@dataclass(frozen=True)
class Judge:
    """A classifier of real images, and the real images to which samples are compared.

    classify(x) -> (logits, features).  train, held_out: {"x": images in [-1, 1], "label": int32}.
    """

    classify: Callable
    train: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]

    @functools.cached_property
    def features(self) -> jax.Array:
        """Features of the held-out images, (N, D)."""
        return self.classify(self.held_out["x"])[1]


class Quality(NamedTuple):
    """Agreement of images with their labels and with the held-out images.

    accuracy: share of images that the classifier assigns to their label.
    frechet: Frechet distance between the features of the images and of the held-out images.
    """

    accuracy: float
    frechet: float


class Variety(NamedTuple):
    """Measures that fall when a generator collapses.

    classes: number of classes to which the classifier assigns at least half the requested samples.
    diversity: mean distance between two samples of a class, divided by the mean distance between
    two training images of the class; the minimum over classes, NaN if no class has two samples.
    coverage: share of held-out images with a sample nearer than their 5th nearest held-out image,
    in feature space; near 1 for images from the distribution of the data (Naeem et al. 2020).
    """

    classes: int
    diversity: float
    coverage: float


def classifier(
    batches: Callable[[int], dict], channels: int, classes: int, key: jax.Array, steps: int = 600
) -> Callable:
    """Trains a small convolutional network on `batches(step)` for `steps` updates.

    Returns a function of images: logits (N, classes) and features (N, 64).
    batches: step -> {"x": images in [-1, 1], "label": int32}. Training shifts each image at random
    by up to one pixel.
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


def quality(judge: Judge, x, label) -> Quality:
    """Accuracy and Frechet distance of the images x with labels `label`."""
    logits, features = judge.classify(x)
    return Quality(_accuracy(logits, label), float(frechet_distance(features, judge.features)))


def real_quality(judge: Judge) -> dict[str, float]:
    """Accuracy of the classifier on held-out images, and Frechet distance of training images."""
    logits, _ = judge.classify(judge.held_out["x"])
    floor = quality(judge, **judge.train).frechet
    return {"judge_accuracy": _accuracy(logits, judge.held_out["label"]), "frechet_floor": floor}


def _accuracy(logits, label) -> float:
    return float(np.mean(np.argmax(np.asarray(logits), -1) == np.asarray(label)))


def variety(judge: Judge, x, label) -> Variety:
    """Variety of the samples x of the requested classes `label`."""
    logits, features = map(np.asarray, judge.classify(x))
    counts = np.bincount(np.argmax(logits, -1), minlength=logits.shape[-1])
    requested = np.bincount(label, minlength=logits.shape[-1])
    classes = int(np.sum(counts[requested > 0] >= requested[requested > 0] / 2))
    spread = _spread_by_class(np.asarray(x), np.asarray(label))
    real = _spread_by_class(judge.train["x"], judge.train["label"])
    ratios = [spread[c] / real[c] for c in spread.keys() & real.keys()]
    diversity = min(ratios, default=np.nan)
    between = np.sort(distances(judge.features, judge.features), 1)  # column 0 is the image itself
    radius = between[:, min(NEIGHBORS, len(between) - 1)]
    coverage = float(np.mean(distances(judge.features, features).min(1) < radius))
    return Variety(classes, float(diversity), coverage)


def _spread_by_class(x: np.ndarray, label: np.ndarray) -> dict[int, float]:
    """Mean distance between two different images of each class that has at least two."""
    members = {int(c): x[label == c] for c in np.unique(label) if np.sum(label == c) > 1}
    return {c: distances(a, a).sum() / (len(a) * (len(a) - 1)) for c, a in members.items()}


def distances(a, b) -> np.ndarray:
    """Euclidean distance between each row of `a` and each row of `b`, (len(a), len(b)).

    NumPy computes it, because JAX would compile a program for every size of set.
    """
    a, b = (np.asarray(rows, np.float32).reshape(len(rows), -1) for rows in (a, b))
    squares = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None]
    return np.sqrt(np.maximum(squares - 2 * a @ b.T, 0))


def nearest(judge: Judge, x) -> dict[str, float]:
    """Median distance of samples, and of held-out images, to the nearest training image.

    Samples are copies if they lie much nearer to training images than held-out images do.
    """

    def to_train(images) -> float:
        return float(np.median(distances(images, judge.train["x"]).min(1)))

    return {"sample_to_train": to_train(x), "held_out_to_train": to_train(judge.held_out["x"])}


def class_gaussians(judge: Judge, label: np.ndarray, seed: int) -> np.ndarray:
    """Draws one image per label from a Gaussian with the moments of the class's training images.

    This is a baseline without a network; pixels are not clipped. The sum of the n centred images
    with independent normal weights, divided by sqrt(n - 1), has their covariance, so no covariance
    matrix is formed.
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
    """Draws one image per label from only `n` training images of each class.

    This baseline has perfect images and little variety, like a generator collapsed to n images.
    """
    rng = np.random.default_rng(seed)
    members = {c: np.flatnonzero(judge.train["label"] == c) for c in np.unique(label)}
    kept = {c: rng.permutation(rows)[:n] for c, rows in members.items()}
    return judge.train["x"][[rng.choice(kept[c]) for c in label]]


def by_class(x, label, classes: int) -> np.ndarray:
    """`SHOWN` images of each class, repeated if there are fewer: (classes, SHOWN, Y, X, C)."""
    rows = [np.resize(np.flatnonzero(np.asarray(label) == c), SHOWN) for c in range(classes)]
    return np.asarray(x)[np.stack(rows)]


def page(x: np.ndarray) -> np.ndarray:
    """Tiles images (rows, columns, Y, X, C) in [-1, 1] to one image in [0, 1], with margins."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    rows, columns, Y, X, C = x.shape
    return np.clip(x.swapaxes(1, 2).reshape(rows * Y, columns * X, C) / 2 + 0.5, 0, 1)


def draw_images(sets: dict[str, tuple], classes: int):
    """A panel for each set (images, labels), with a row of `SHOWN` images for each class."""
    figure, axes = figures.panels(-(-len(sets) // 2), 2, width=3.4)
    for ax in axes:
        ax.set_axis_off()
    for ax, (title, (x, label)) in zip(axes, sets.items()):
        ax.imshow(page(by_class(x, label, classes)).squeeze(), cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=title)
    return figure
