"""Data that every machine has: small, real, and without a download."""

import functools

import numpy as np


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
    return x[~held], label[~held], x[held], label[held]
