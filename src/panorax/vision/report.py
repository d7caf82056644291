"""Report of an image classifier: predictions on held-out images by class, beside the nearest
neighbour."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.state import Result
from panorax.data import images
from panorax.data.batches import weighted
from panorax.data.source import Source
from panorax.maths.clouds.neighbors import squared_distances

BLOCK = 5000  # training images whose distances are in memory at a time


def held_out_report(logits: Callable, source: Source, cfg) -> Result:
    """Accuracy of the worst class, the confusion matrix, and what `cfg.flip` and `cfg.neighbors`
    add.

    `logits` maps images (B, Y, X, C) in [-1, 1] to logits (B, V).
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
    return Result(metrics, {"confusion.png": confusion_figure(confusion, accuracy)})


def predictions(
    logits: Callable, source: Source, batch: int, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions, (N,) each, of all held-out images.

    With `flip`, a prediction is the largest entry of the mean of the logits of an image and its
    mirror image.
    """
    labels, found = [], []
    for rows in weighted(source.held_out(), batch):
        views = (rows["x"], rows["x"][:, :, ::-1]) if flip else (rows["x"],)
        prediction = np.argmax(sum(np.asarray(logits(view)) for view in views), -1)
        labels.append(rows["label"][rows["weight"] > 0])
        found.append(prediction[rows["weight"] > 0])
    return np.concatenate(labels), np.concatenate(found)


def nearest_neighbor_accuracy(cfg: images.Config, n: int) -> float:
    """Share of `n` held-out images, evenly spaced, whose nearest training image has their label.

    Distances are Euclidean between pixels; all held-out images count if there are fewer than `n`.
    """
    x, label, x_held, label_held = images.images(cfg)
    rows = np.linspace(0, len(x_held) - 1, min(n, len(x_held))).astype(int)
    flat = lambda x: images.scaled(x).reshape(len(x), -1)
    distances, queries = jax.jit(squared_distances), flat(x_held[rows])
    nearest, found = np.full(len(rows), np.inf), np.zeros(len(rows), int)
    for start in range(0, len(x), BLOCK):
        distance = distances(queries, flat(x[start : start + BLOCK]))
        index, distance = np.asarray(jnp.argmin(distance, 1)), np.asarray(jnp.min(distance, 1))
        found = np.where(distance < nearest, label[start + index], found)
        nearest = np.minimum(distance, nearest)
    return float(np.mean(found == label_held[rows]))


def confusion_figure(confusion: np.ndarray, accuracy: np.ndarray):
    """Share of each class (row) that is predicted as each class (column), and the accuracy of each
    class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    figure.colorbar(left.imshow(shares, cmap="Blues", vmin=0, vmax=1), ax=left)
    for row, column in np.argwhere(confusion) if len(confusion) <= 20 else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        left.text(
            column, row, confusion[row, column], ha="center", va="center", color=colour, fontsize=8
        )
    left.set(title="held-out images", xlabel="predicted class", ylabel="class")
    right.bar(np.arange(len(accuracy)), np.nan_to_num(accuracy))
    right.set(title="accuracy", xlabel="class", ylim=(min(0.9, 0.9 * np.nanmin(accuracy)), 1.0))
    return figure
