"""A policy as a value: parameters, memory, and the functions that apply them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Policy:
    """An actor and a critic, with or without memory, for one observation shape and action space.

    apply(params, memory_B, observation_BT, first_BT) -> (memory_B, action distribution, value)

    The distribution and the value have leading axes B T. `first_BT` marks the first steps of
    episodes, at which the memory is reset before the step.
    """

    spec: Any
    """parameters, a tree of P"""
    apply: Callable
    """network, as above"""
    empty_memory: Callable[[int], Any]
    """empty_memory(n) -> initial memory of `n` environments, () without memory"""
    span: int = 1
    """steps of one training example, the length of backpropagation through time"""
