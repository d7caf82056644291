"""Small real data sets that need no download: scikit-learn ships them."""

import functools
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Training inputs x and labels, and held-out inputs and labels."""

    x: np.ndarray
    label: np.ndarray
    x_held: np.ndarray
    label_held: np.ndarray


def every_fifth(x: np.ndarray, label: np.ndarray) -> Split:
    """A Split that holds out examples 4, 9, 14, ..."""
    held = np.arange(len(x)) % 5 == 4
    return Split(x[~held], label[~held], x[held], label[held])


@functools.cache
def digits() -> Split:
    """1,797 handwritten digits of the UCI optical recognition set, in scikit-learn's version.

    x is float32 (N, 8, 8, 1) in [-1, 1], label int32 (N,). Every fifth image of each class is held
    out: 1,442 for training, 355 held out.
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
    """`digits` with x as (N, 64)."""
    split = digits()
    return split._replace(x=split.x.reshape(-1, 64), x_held=split.x_held.reshape(-1, 64))


@functools.cache
def digit_cloud(points: int) -> tuple[np.ndarray, np.ndarray]:
    """First `points` digits and labels, held-out digits last, as (points, 64) in [-1, 1]."""
    x, label, x_held, label_held = digit_vectors()
    return np.concatenate([x, x_held])[:points], np.concatenate([label, label_held])[:points]


@functools.cache
def iris() -> tuple[np.ndarray, np.ndarray]:
    """Fisher's irises: 50 of each of three species.

    Returns lengths and widths of sepals and petals in cm, float32 (150, 4), and int32 species.
    """
    from sklearn.datasets import load_iris

    raw = load_iris()
    return raw.data.astype(np.float32), raw.target.astype(np.int32)


@functools.cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 diabetes patients: ten measurements x, and the progression of the disease in a year.

    Both are float32 with mean 0 and standard deviation 1. Source: Efron et al. 2004.
    """
    from sklearn.datasets import load_diabetes

    raw = load_diabetes(scaled=False)
    return tuple(((a - a.mean(0)) / a.std(0)).astype(np.float32) for a in (raw.data, raw.target))


@functools.cache
def breast_cancer() -> Split:
    """569 tumours: thirty measurements x of cell nuclei, and label 1 for benign, 0 for malignant.

    Both are float32; x has mean 0 and standard deviation 1 over the training tumours. Every fifth
    tumour is held out. Source: Wolberg et al. 1995.
    """
    from sklearn.datasets import load_breast_cancer

    raw = load_breast_cancer()
    train = every_fifth(raw.data, raw.target).x
    x = (raw.data - train.mean(0)) / train.std(0)
    return every_fifth(x.astype(np.float32), raw.target.astype(np.float32))
