"""Pytree dataclasses: `flax.struct` imported without `flax.linen`, which halves start-up time."""

from panorax.core.deferred import deferred

with deferred("flax.linen"):
    from flax.struct import dataclass

__all__ = ["dataclass"]
