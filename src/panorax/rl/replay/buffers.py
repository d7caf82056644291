"""Replay buffers as values: uniform and prioritised replay behind the same four functions."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from panorax.core.ranges import Positive, Share, checked
from panorax.rl.replay import prioritized, uniform


@checked
class Uniform:
    """All stored sequences are equally likely."""


@checked
class Prioritized:
    """Sequences are drawn in proportion to priority^alpha (Schaul et al. 2016)."""

    alpha: Share = 0.6
    """exponent of the priority; 0 is uniform [alpha]"""
    beta: Share = 0.4
    """first exponent of the importance weights, which grows to 1 over the run [beta]"""
    floor: Positive = 1e-3
    """constant added to the priority, so that no sequence is lost [epsilon]"""


class Sample(NamedTuple):
    """Sequences of a buffer."""

    rows: Any
    """sequences, leaves (B, length, ...)"""
    weight: jax.Array
    """importance weights, at most 1, float32 (B,)"""
    index: jax.Array
    """places in the buffer, int32 (B,)"""


@dataclass(frozen=True)
class Buffer:
    """A kind of replay. `memory` is its state."""

    empty: Callable
    """empty(row, capacity) -> memory; row: leaves (N, ...), capacity: rows of one environment"""
    add: Callable
    """add(memory, rollout) -> memory; rollout: leaves (L, N, ...)"""
    draw: Callable[..., Sample]
    """draw(memory, key, batch, progress) -> Sample; progress: share of the run that is over"""
    revise: Callable
    """revise(memory, index_B, priority_B) -> memory, with new priorities, at least 0"""
    axes: Any
    """logical axes of the memory, a tree prefix of it"""


def buffer(cfg: Uniform | Prioritized, length: int) -> Buffer:
    """The buffer of `cfg` for samples of `length` consecutive rows."""
    axes = uniform.Replay(rows=("batch",), head=None, filled=None)
    if isinstance(cfg, Uniform):

        def draw(memory, key, batch, progress):
            rows = uniform.draw(memory, key, batch, length)
            return Sample(rows, jnp.ones(batch), jnp.zeros(batch, jnp.int32))

        keep = lambda memory, index, priority: memory
        return Buffer(uniform.empty, uniform.add, draw, keep, axes)

    def draw(memory, key, batch, progress):
        beta = cfg.beta + (1 - cfg.beta) * progress
        return Sample(*prioritized.draw(memory, key, batch, beta, length))

    def revise(memory, index, priority):
        return prioritized.reprioritize(memory, index, priority + cfg.floor, cfg.alpha)

    add = functools.partial(prioritized.add, length=length)
    axes = prioritized.Prioritized(replay=axes, tree=None, largest=None)
    return Buffer(prioritized.empty, add, draw, revise, axes)
