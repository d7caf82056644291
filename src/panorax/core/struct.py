"""Dataclasses that are pytrees: `flax.struct`, without the half of flax's import time that is its layers, which come when they are used."""

from panorax.core.deferred import deferred

with deferred("flax.linen"):
    from flax.struct import dataclass

__all__ = ["dataclass"]
