"""Labelled images, and the quality of generated images by a classifier trained on them.

The images are scikit-learn's digits, an .npz file, or CIFAR-10 (Krizhevsky 2009) in its binary
format. A record of that format is a label byte and the red, green and blue planes of a 32 x 32
image, 1,024 bytes each. Images of uint8 stay uint8 in memory; each batch is scaled to [-1, 1].
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.core.state import Result
from panorax.core.study import family
from panorax.data import datasets
from panorax.data.batches import epochs
from panorax.data.datasets import Split
from panorax.data.judges import Judge, classifier, draw_images, nearest, quality, real_quality
from panorax.data.readers import read_arrays
from panorax.data.source import Source

JUDGED = 5000  # largest number of training images, and of held-out images, in a judge
LEVELS = (2 * (np.arange(256) / 255) - 1).astype(np.float32)  # value in [-1, 1] of each byte
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
    """number of colour channels"""
    classes: Count = 10
    """number of classes"""
    per_class: Count = 100
    """number of judged samples of each class"""
    judge_steps: Count = 600
    """training steps of the classifier that judges samples"""
    euler_steps: tuple[Count, ...] = (1, 2, 4, 8, 50)
    """numbers of Euler steps of the judged samples, in ascending order"""

    def __post_init__(self):
        if not self.euler_steps or list(self.euler_steps) != sorted(set(self.euler_steps)):
            raise ValueError(
                f"data.euler-steps must be one or more ascending numbers, got {self.euler_steps}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, C) of an image."""
        return (self.size, self.size, self.channels)


@functools.cache
def images(cfg: Config) -> Split:
    """The images of the config: x (N, Y, X, C), uint8 or float32 in [-1, 1], and label int32 (N,).

    Raises UserError if a file is missing or does not fit the config.
    """
    if cfg.path is None:
        name, split = "scikit-learn's digits", datasets.digits()
    elif Path(cfg.path).is_dir():
        name, split = cfg.path, cifar10(Path(cfg.path))
    else:
        name, split = cfg.path, _npz(cfg.path)
    labels = np.concatenate([split.label, split.label_held])
    size, low, high = split.x.shape[1:], labels.min(), labels.max()
    if size != cfg.shape or low < 0 or high >= cfg.classes:
        contents = f"images {(len(labels), *size)}, labels {low} to {high}"
        raise UserError(f"{name}: {contents}, do not fit {cfg.shape} and {cfg.classes} classes")
    return split


def _npz(path: str) -> Split:
    """The images of an .npz file; every fifth image is held out."""
    arrays = read_arrays(path, ("images", "labels"))
    x, label = arrays["images"], arrays["labels"]
    x = x[..., None] if x.ndim == 3 else x
    if len(x) < 10 or label.ndim != 1 or label.dtype.kind not in "iu":
        raise UserError(f"{path} needs at least ten images with one integer label each")
    if x.dtype != np.uint8:
        if x.dtype.kind != "f" or not (x.min() >= 0 and x.max() <= 1):  # also refuses NaN
            raise UserError(
                f"{path} needs images of uint8, or of float from 0 to 1; they are {x.dtype} "
                f"from {x.min():.3g} to {x.max():.3g}"
            )
        x = (2 * x - 1).astype(np.float32)
    return datasets.every_fifth(x, label.astype(np.int32))


def cifar10(folder: Path) -> Split:
    """CIFAR-10 from the binary files in `folder` or in its subfolder cifar-10-batches-bin.

    x is uint8 (N, 32, 32, 3); the test set is held out. Raises UserError if a file is missing or
    its size is not a multiple of a record.
    """
    folder = folder / CIFAR10 if (folder / CIFAR10).is_dir() else folder
    train = [_records(folder / f"data_batch_{i}.bin") for i in range(1, 6)]
    x, label = (np.concatenate(part) for part in zip(*train))
    return Split(x, label, *_records(folder / "test_batch.bin"))


def _records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        records = np.fromfile(path, np.uint8)
    except OSError as error:
        files = "CIFAR-10 needs data_batch_1.bin to data_batch_5.bin and test_batch.bin"
        raise UserError(f"{path} cannot be read ({error.strerror}); {files}") from error
    if records.size == 0 or records.size % CIFAR10_RECORD:
        raise UserError(
            f"{path} has {records.size} bytes; CIFAR-10 needs a multiple of {CIFAR10_RECORD}"
        )
    records = records.reshape(-1, CIFAR10_RECORD)
    x = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), records[:, 0].astype(np.int32)


def scaled(x: np.ndarray) -> np.ndarray:
    """Images as float32 in [-1, 1]: uint8 is scaled, float32 is returned unchanged."""
    return LEVELS[x] if x.dtype == np.uint8 else x


def batch(cfg: Config, n: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """n training images for a step; each epoch visits every image once."""
    split = images(cfg)
    rows = epochs(len(split.x), n, seed, step)
    return {"x": scaled(split.x[rows]), "label": split.label[rows]}


def held_out(cfg: Config) -> dict[str, np.ndarray]:
    """All held-out images."""
    split = images(cfg)
    return {"x": scaled(split.x_held), "label": split.label_held}


@functools.cache
def refuse_missing_classes(cfg: Config) -> None:
    """Raises UserError if a class has no training image, with which a judge compares samples."""
    missing = {*range(cfg.classes)} - {*images(cfg).label.tolist()}
    if missing:
        raise UserError(
            f"{cfg.path or 'the data'}: no training image of class {min(missing)}; every fifth "
            f"image is held out, and data.classes is {cfg.classes}"
        )


def source(cfg: Config) -> Source:
    """The images as a Source, whose batches raise UserError if a class has no training image."""
    bind = functools.partial

    def judged_batch(n, seed, step):
        refuse_missing_classes(cfg)
        return batch(cfg, n, seed, step)

    batches = judged_batch, bind(held_out, cfg)
    return Source(cfg.shape, cfg.classes, *batches, bind(judge, cfg=cfg))


def judge(draw, key: jax.Array, cfg: Config) -> Result:
    """Accuracy and Frechet distance of samples for each number of Euler steps.

    The accuracy is the share of samples that the classifier assigns to the requested class. The
    Frechet distance compares features of samples and of held-out images; `frechet_floor` compares
    training images with held-out images.
    """
    key_judge, key_draw = jax.random.split(key)
    judge = trained_judge(cfg, key_judge)
    label = jnp.repeat(jnp.arange(cfg.classes), cfg.per_class)
    samples = {steps: draw(key_draw, label, steps) for steps in cfg.euler_steps}
    measured = {steps: quality(judge, x, label) for steps, x in samples.items()}
    metrics = real_quality(judge) | nearest(judge, samples[cfg.euler_steps[-1]])
    metrics |= family("accuracy_{}_steps", {steps: q.accuracy for steps, q in measured.items()})
    metrics |= family("frechet_{}_steps", {steps: q.frechet for steps, q in measured.items()})
    sets = {"held-out images": tuple(judge.held_out.values())}
    sets |= {f"{steps} Euler step{'s' * (steps > 1)}": (x, label) for steps, x in samples.items()}
    drawn = {
        "samples.png": draw_images(sets, cfg.classes),
        "quality.png": draw_quality(metrics, cfg.euler_steps),
    }
    return Result(metrics, drawn)


def trained_judge(cfg: Config, key: jax.Array) -> Judge:
    """A classifier trained on the images of `cfg`, with up to `JUDGED` images of each part."""
    batches = functools.partial(batch, cfg, 128, 0)
    classify = classifier(batches, cfg.channels, cfg.classes, key, cfg.judge_steps)
    x, label, x_held, label_held = map(_spread, images(cfg))
    return Judge(
        classify,
        train={"x": scaled(x), "label": label},
        held_out={"x": scaled(x_held), "label": label_held},
    )


def _spread(x):
    """`JUDGED` evenly spaced rows of `x`, or all rows if there are fewer."""
    return x if len(x) <= JUDGED else x[np.linspace(0, len(x) - 1, JUDGED).astype(int)]


def draw_quality(metrics: dict[str, float], euler_steps: tuple[int, ...]):
    """Accuracy and Frechet distance over the number of Euler steps, with lines for real images."""
    figure, (left, right) = figures.panels(2, sharex=True)
    curve = lambda pattern: [metrics[pattern.format(steps)] for steps in euler_steps]
    left.plot(euler_steps, curve("accuracy_{}_steps"), "o-", label="samples")
    left.axhline(metrics["judge_accuracy"], color="grey", ls=":", label="held-out images")
    left.set(title="samples of the requested class", ylabel="share", ylim=(0, 1.02))
    right.plot(euler_steps, curve("frechet_{}_steps"), "o-", label="samples")
    right.axhline(metrics["frechet_floor"], color="grey", ls=":", label="training images")
    right.set(title="distance from held-out images", ylabel="Frechet distance", yscale="log")
    for ax in (left, right):
        ax.set(xlabel="Euler steps", xscale="log", xticks=euler_steps, xticklabels=euler_steps)
        ax.minorticks_off()
    return figures.legends(figure)
