"""Labelled images, and a classifier trained on them as the judge of generated images.

The images are scikit-learn's digits, an .npz file, or CIFAR-10 (Krizhevsky 2009) in its binary
format: files of records of a label and 3 x 1024 bytes, the red, green and blue plane of an image of
32 x 32. Images of bytes stay bytes in memory: a batch is scaled to [-1, 1] when it is made.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.data.batches import epochs
from panorax.data.judges import Judge, classifier, grid, nearest, panel, quality, real_quality
from panorax.data.readers import read_arrays
from panorax.data.source import Source

STEPS = (1, 2, 4, 8, 50)
JUDGED = 5000  # most real images of each part that the judge compares samples with
LEVELS = (2 * (np.arange(256) / 255) - 1).astype(np.float32)  # of each byte
CIFAR10 = "cifar-10-batches-bin"
CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes


@checked
class Config:
    path: str | None = None
    """.npz file with `images` (N, size, size, channels), uint8 or float in [0, 1], and `labels`
    (N,), every fifth image held out; or folder with CIFAR-10 in its binary format, the test set
    held out; None for scikit-learn's digits"""
    size: Count = 8
    """height and width of an image, in pixels"""
    channels: Count = 1
    """colours of a pixel"""
    classes: Count = 10
    """number of labels"""
    per_class: Count = 100
    """samples of each class that are judged"""
    judge_steps: Count = 600
    """updates that train the classifier that judges samples"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, C) of an image."""
        return (self.size, self.size, self.channels)


@functools.cache
def images(cfg: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, label, held-out x, held-out label).

    x is (N, Y, X, C), uint8 or float32 in [-1, 1]; label is (N,) int32. Raises UserError for a file
    that is missing or does not fit the config.
    """
    if cfg.path is None:
        name, arrays = "scikit-learn's digits", datasets.digits()
    elif Path(cfg.path).is_dir():
        name, arrays = cfg.path, cifar10(Path(cfg.path))
    else:
        name, arrays = cfg.path, _npz(cfg.path)
    x, label, x_held, label_held = arrays
    labels = np.concatenate([label, label_held])
    if x.shape[1:] != cfg.shape or labels.min() < 0 or labels.max() >= cfg.classes:
        shape, low, high = (len(labels), *x.shape[1:]), labels.min(), labels.max()
        fitting = f"{cfg.shape} and {cfg.classes} classes"
        raise UserError(f"{name}: images {shape}, labels {low} to {high}, do not fit {fitting}")
    return arrays


def _npz(path: str):
    """The arrays of an .npz file, every fifth image held out."""
    arrays = read_arrays(path, ("images", "labels"))
    x, label = arrays["images"], arrays["labels"]
    x = x[..., None] if x.ndim == 3 else x
    if len(x) < 10 or label.ndim != 1 or label.dtype.kind not in "iu":
        raise UserError(f"{path}: ten images or more with one integer label each are needed")
    x = x if x.dtype == np.uint8 else (2 * x - 1).astype(np.float32)
    held = np.arange(len(x)) % 5 == 4
    return x[~held], label[~held].astype(np.int32), x[held], label[held].astype(np.int32)


def cifar10(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, label, held-out x, held-out label) from files in `folder` or its cifar-10-batches-bin.

    x is (N, 32, 32, 3) uint8; the test set is held out. Raises UserError for a file that is missing
    or is not made of whole records.
    """
    folder = folder / CIFAR10 if (folder / CIFAR10).is_dir() else folder
    train = [_records(folder / f"data_batch_{i}.bin") for i in range(1, 6)]
    x, label = (np.concatenate(part) for part in zip(*train))
    return x, label, *_records(folder / "test_batch.bin")


def _records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        records = np.fromfile(path, np.uint8)
    except OSError as error:
        needed = "CIFAR-10 needs data_batch_1.bin to data_batch_5.bin and test_batch.bin"
        raise UserError(f"{path} cannot be read ({error.strerror}); {needed}") from error
    if records.size == 0 or records.size % CIFAR10_RECORD:
        raise UserError(
            f"{path} has {records.size} bytes; CIFAR-10 needs a multiple of {CIFAR10_RECORD}"
        )
    records = records.reshape(-1, CIFAR10_RECORD)
    x = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), records[:, 0].astype(np.int32)


def scaled(x: np.ndarray) -> np.ndarray:
    """Images as float32 in [-1, 1]: bytes are scaled, floats already are."""
    return LEVELS[x] if x.dtype == np.uint8 else x


def batch(cfg: Config, n: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """The step's training images, every image once an epoch."""
    x, label, _, _ = images(cfg)
    rows = epochs(len(x), n, seed, step)
    return {"x": scaled(x[rows]), "label": label[rows]}


def held_out(cfg: Config) -> dict[str, np.ndarray]:
    """Images that are never trained on."""
    _, _, x, label = images(cfg)
    return {"x": scaled(x), "label": label}


def source(cfg: Config) -> Source:
    """The images as a value."""
    bind = functools.partial
    return Source(
        cfg.shape, cfg.classes, bind(batch, cfg), bind(held_out, cfg), bind(judge, cfg=cfg)
    )


def judge(draw, key: jax.Array, cfg: Config) -> Result:
    """Quality of samples drawn with each number of Euler steps, a grid of samples and a plot.

    The accuracy is the share of samples whose class the classifier recognises. The Frechet distance
    is between its features of samples and of held-out images; the floor takes training images as
    samples.
    """
    key_judge, key_draw = jax.random.split(key)
    judge = trained_judge(cfg, key_judge)
    metrics = real_quality(judge)
    label = jnp.repeat(jnp.arange(cfg.classes), cfg.per_class)
    panels = {"real": panel(judge.held_out["x"], judge.held_out["label"], cfg.classes)}
    for steps in STEPS:
        x = draw(key_draw, label, steps)
        accuracy, frechet = quality(judge, x, label)
        metrics |= {f"accuracy_{steps}_steps": accuracy, f"frechet_{steps}_steps": frechet}
        panels[f"{steps} step{'s' * (steps > 1)}"] = panel(x, label, cfg.classes)
    metrics |= nearest(judge, x)
    return Result(metrics, {"samples.png": grid(panels), "quality.png": _quality(metrics)})


def trained_judge(cfg: Config, key: jax.Array) -> Judge:
    """A classifier trained on the images of `cfg`, and at most `JUDGED` images of each part."""
    batches = functools.partial(batch, cfg, 128, 0)
    classify = classifier(batches, cfg.channels, cfg.classes, key, cfg.judge_steps)
    train, label, held_out, held_out_label = map(_spread, images(cfg))
    return Judge(
        classify,
        train={"x": scaled(train), "label": label},
        held_out={"x": scaled(held_out), "label": held_out_label},
    )


def _spread(x):
    """`JUDGED` rows of `x`, evenly spaced, or all if there are fewer."""
    return x if len(x) <= JUDGED else x[np.linspace(0, len(x) - 1, JUDGED).astype(int)]


def _quality(metrics):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(STEPS, [metrics[f"accuracy_{k}_steps"] for k in STEPS], "o-")
    left.axhline(metrics["judge_accuracy"], color="grey", ls=":")
    left.set(title="share of samples recognised as their class", ylim=(0, 1.02))
    right.plot(STEPS, [metrics[f"frechet_{k}_steps"] for k in STEPS], "o-")
    right.axhline(metrics["frechet_floor"], color="grey", ls=":")
    right.set(title="Frechet distance (dotted: real images)", yscale="log")
    for ax in (left, right):
        ax.set(xlabel="Euler steps", xscale="log")
    return figure
