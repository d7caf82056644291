"""Data that every machine has: small, real, and without a download."""

import functools
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Inputs and labels to train on, and those held out."""

    x: np.ndarray
    label: np.ndarray
    x_held: np.ndarray
    label_held: np.ndarray


@functools.cache
def digits() -> Split:
    """Handwritten digits of the UCI optical recognition set, as scikit-learn ships them: (x, label, x_held_out, label_held_out).

    x is float32 (N, 8, 8, 1) in [-1, 1], labels int32 (N,). 1,797 images; every fifth of each class is held out (355), the rest trains (1,442).
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    x = (raw.images[..., None] / 8 - 1).astype(np.float32)
    label = raw.target.astype(np.int32)
    rank = np.zeros(len(label), int)
    for c in range(10):
        rank[label == c] = np.arange(np.sum(label == c))
    held = rank % 5 == 4
    return Split(x[~held], label[~held], x[held], label[held])


@functools.cache
def digit_vectors() -> Split:
    """The same with x as (N, 64)."""
    x, label, x_held, label_held = digits()
    return Split(x.reshape(-1, 64), label, x_held.reshape(-1, 64), label_held)


@functools.cache
def digit_cloud(points: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `points` digits of both parts together, (points, 64) in [-1, 1], and their labels."""
    x, label, x_held, label_held = digit_vectors()
    return np.concatenate([x, x_held])[:points], np.concatenate([label, label_held])[:points]


@functools.cache
def iris() -> tuple[np.ndarray, np.ndarray]:
    """Fisher's irises: lengths and widths of sepals and petals in cm, float32 (150, 4), and the species, int32 (150,), 50 of each of 3."""
    from sklearn.datasets import load_iris

    raw = load_iris()
    return raw.data.astype(np.float32), raw.target.astype(np.int32)


@functools.cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients (Efron et al. 2004): ten measurements and how the disease progressed in a year, all float32 with mean 0 and standard deviation 1."""
    from sklearn.datasets import load_diabetes

    raw = load_diabetes(scaled=False)
    return tuple(((a - a.mean(0)) / a.std(0)).astype(np.float32) for a in (raw.data, raw.target))


@functools.cache
def breast_cancer() -> Split:
    """569 tumours (Wolberg et al. 1995): (x, label, x_held_out, label_held_out), thirty measurements of cell nuclei, float32 with mean 0 and standard
    deviation 1 over those that are not held out, and 1 for a benign tumour, float32. Every fifth is held out."""
    from sklearn.datasets import load_breast_cancer

    raw = load_breast_cancer()
    held = np.arange(len(raw.data)) % 5 == 4
    mean, deviation = raw.data[~held].mean(0), raw.data[~held].std(0)
    x, label = ((raw.data - mean) / deviation).astype(np.float32), raw.target.astype(np.float32)
    return Split(x[~held], label[~held], x[held], label[held])
