"""A source of examples with labels, as a value that a system is made with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """Examples `x` of one shape, each with a class.

    shape: of one example.  classes: number of labels.
    batch(n, seed, step) -> {"x": (n, *shape) float32, "label": (n,) int32}, a pure function.
    held_out() -> the same for all examples that are never trained on.
    judge(draw, key) -> Result: quality of samples that `draw(key, label, steps, ...)` makes.
    """

    shape: tuple[int, ...]
    classes: int
    batch: Callable[[int, int, int], dict[str, np.ndarray]]
    held_out: Callable[[], dict[str, np.ndarray]]
    judge: Callable
