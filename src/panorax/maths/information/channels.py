"""Binary channels with error probability 0 < p < 1 and their capacity in closed form, in nats.

    symmetric   flips the bit with probability p        log 2 - h(p), h the binary entropy
    erasure     erases the bit with probability p       (1 - p) log 2
    z           turns a 1 into a 0 with probability p   log(1 + (1 - p) p^(p / (1 - p)))

Source: Cover & Thomas, Elements of Information Theory, section 7.1 and problem 7.8.
"""

from typing import NamedTuple

import numpy as np


class Channel(NamedTuple):
    """A memoryless channel and its capacity."""

    matrix: np.ndarray
    """p(y | x), one row per input x"""
    capacity: float
    """capacity in nats"""


def known_channels(p: float) -> dict[str, Channel]:
    """The three channels by name; the middle output of `erasure` is the erasure.

    Raises ValueError unless 0 < p < 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"an error probability must be between 0 and 1, got {p}")
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    z_capacity = np.log1p((1 - p) * p ** (p / (1 - p)))
    return {
        "symmetric": Channel(np.array([[1 - p, p], [p, 1 - p]]), np.log(2) - entropy),
        "erasure": Channel(np.array([[1 - p, p, 0], [0, p, 1 - p]]), (1 - p) * np.log(2)),
        "z": Channel(np.array([[1, 0], [p, 1 - p]]), z_capacity),
    }
