"""A policy as a value: its parameters, its memory, and the distribution over actions that it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Policy:
    """An actor and a critic, possibly with memory, for observations of one shape and one space of actions.

    spec: a tree of P.
    apply(params, memory_B, observation_BT, first_BT) -> (memory_B, distribution over actions, value), the last two
    with leading axes B T; where `first_BT` is true the memory is emptied before the step.
    empty_memory(n) -> the memory of `n` environments at the start, `()` if there is none.
    span: steps of one training example, the length of backpropagation through time.
    """

    spec: Any
    apply: Callable
    empty_memory: Callable[[int], Any]
    span: int = 1
