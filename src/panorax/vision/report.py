"""Report of an image classifier: accuracy by class, and a nearest-neighbour baseline."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.data import images
from panorax.data.batches import weighted
from panorax.data.source import Source
from panorax.maths.clouds.neighbors import squared_distances

BLOCK = 5000  # training images per block of distances in memory


def held_out_report(logits: Callable, source: Source, cfg) -> Result:
    """Accuracy of the worst class and the confusion matrix of the held-out images.

    `cfg.flip` adds the accuracy averaged over mirror images, `cfg.neighbors` the baseline.
    logits: function of images (B, Y, X, C) in [-1, 1] to logits (B, V).
    """
    label, prediction = predictions(logits, source, cfg.batch, cfg.flip)
    confusion = np.zeros((source.classes, source.classes), int)
    np.add.at(confusion, (label, prediction), 1)
    present, correct = confusion.sum(1), np.diag(confusion)
    accuracy = np.divide(correct, present, out=np.full(source.classes, np.nan), where=present > 0)
    metrics = {"worst_class_accuracy": float(np.nanmin(accuracy))}
    if cfg.flip:
        metrics["flip_averaged_accuracy"] = float(np.mean(label == prediction))
    if cfg.neighbors:
        metrics["nearest_neighbor_accuracy"] = nearest_neighbor_accuracy(cfg.data, cfg.neighbors)
    return Result(metrics, {"confusion.png": draw_confusion(confusion, accuracy)})


def predictions(
    logits: Callable, source: Source, batch: int, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, (N,) each, of all held-out images.

    If `flip`, a prediction is the argmax of the mean logits of an image and its mirror image.
    """
    label, prediction = [], []
    for rows in weighted(source.held_out(), batch):
        views = (rows["x"], rows["x"][:, :, ::-1]) if flip else (rows["x"],)
        largest = np.argmax(sum(np.asarray(logits(view)) for view in views), -1)
        label.append(rows["label"][rows["weight"] > 0])
        prediction.append(largest[rows["weight"] > 0])
    return np.concatenate(label), np.concatenate(prediction)


def nearest_neighbor_accuracy(cfg: images.Config, n: int) -> float:
    """Share of `n` evenly spaced held-out images whose nearest training image has their label.

    Distances are Euclidean in pixels. If there are fewer than `n` held-out images, all count.
    """
    train, label, held, held_label = images.images(cfg)
    rows = np.linspace(0, len(held) - 1, min(n, len(held))).astype(int)
    flat = lambda x: images.scaled(x).reshape(len(x), -1)
    distances, queries = jax.jit(squared_distances), flat(held[rows])
    nearest, prediction = np.full(len(rows), np.inf), np.zeros(len(rows), int)
    for start in range(0, len(train), BLOCK):
        distance = distances(queries, flat(train[start : start + BLOCK]))
        index, distance = np.asarray(jnp.argmin(distance, 1)), np.asarray(jnp.min(distance, 1))
        prediction = np.where(distance < nearest, label[start + index], prediction)
        nearest = np.minimum(distance, nearest)
    return float(np.mean(prediction == held_label[rows]))


def draw_confusion(confusion: np.ndarray, accuracy: np.ndarray):
    """Number of images by class (row) and prediction (column), and the accuracy of each class."""
    figure, (left, right) = figures.panels(2, width=5, height=4.2)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=left, label="share of the class")
    for row, column in np.argwhere(confusion) if len(confusion) <= 20 else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        style = {"ha": "center", "va": "center", "color": color, "fontsize": 8}
        left.text(column, row, confusion[row, column], **style)
    left.grid(False)
    left.set(title="held-out images", xlabel="predicted class", ylabel="class")
    right.bar(np.arange(len(accuracy)), np.nan_to_num(accuracy))
    right.set_axisbelow(True)
    lowest = min(0.9, 0.9 * np.nanmin(accuracy))
    right.set(title="held-out images", xlabel="class", ylabel="accuracy", ylim=(lowest, 1.0))
    return figure
