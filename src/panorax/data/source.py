"""A source of labelled examples, as a value that a system receives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """Examples x of one shape, each with a class.

    shape: shape of an example.  classes: number of classes.
    batch(n, seed, step) -> {"x": float32 (n, *shape), "label": int32 (n,)}: a pure function.
    held_out() -> all held-out examples, in the same form.
    judge(draw, key) -> Result: quality of the samples `draw(key, label, steps, guidance, solver)`.
    """

    shape: tuple[int, ...]
    classes: int
    batch: Callable[[int, int, int], dict[str, np.ndarray]]
    held_out: Callable[[], dict[str, np.ndarray]]
    judge: Callable
