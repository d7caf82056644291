"""Replay of experience: a ring of the last steps of every environment, a value inside State.

Rows are stored by environment and time, (N, T, ...), so that sequences are contiguous and a mesh
splits them by environment. A start is a step (environment, time) from which a sequence of `length`
rows is stored. `draw` draws starts uniformly; `prioritized.draw` draws them by priority.
Source: Lin 1992; Mnih et al. 2015 (doi:10.1038/nature14236).
"""

from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct


@struct.dataclass
class Replay:
    """The last steps of N environments."""

    rows: Any
    """stored rows; all leaves are (N, T, ...)"""
    head: jax.Array
    """time at which the next row is written, int32"""
    filled: jax.Array
    """stored rows of each environment, int32, at most T"""

    @property
    def capacity(self) -> int:
        """Rows of one environment [T]."""
        return jax.tree.leaves(self.rows)[0].shape[1]

    @property
    def n(self) -> int:
        """Number of environments [N]."""
        return jax.tree.leaves(self.rows)[0].shape[0]


def empty(row, capacity: int) -> Replay:
    """A replay without rows. row: one row of all environments, leaves (N, ...), for its shapes."""
    rows = jax.tree.map(lambda x: jnp.zeros((x.shape[0], capacity, *x.shape[1:]), x.dtype), row)
    return Replay(rows, jnp.int32(0), jnp.int32(0))


def add(replay: Replay, rollout) -> Replay:
    """`replay` with the rows of a rollout, leaves (L, N, ...), in place of the oldest.

    All rollouts of a replay have one length L. Raises ValueError if L does not divide the capacity:
    a write would wrap around its end.
    """
    L = jax.tree.leaves(rollout)[0].shape[0]
    T = replay.capacity
    if T % L:
        raise ValueError(f"a capacity of {T} rows is no multiple of the {L} rows of a rollout")

    def write(rows_NT, rollout_LN):
        rows_NL = jnp.swapaxes(rollout_LN, 0, 1).astype(rows_NT.dtype)
        return jax.lax.dynamic_update_slice_in_dim(rows_NT, rows_NL, replay.head, 1)

    return Replay(
        rows=jax.tree.map(write, replay.rows, rollout),
        head=(replay.head + L) % T,
        filled=jnp.minimum(replay.filled + L, T),
    )


def draw(replay: Replay, key: jax.Array, batch: int, length: int = 1):
    """`batch` sequences of `length` rows, leaves (B, length, ...), uniform among all starts.

    The replay must hold `length` rows of each environment.
    """
    key_env, key_time = jax.random.split(key)
    env_B = jax.random.randint(key_env, (batch,), 0, replay.n)
    age_B = jax.random.randint(key_time, (batch,), 0, replay.filled - length + 1)
    return sequences_at(replay, env_B, replay.head - replay.filled + age_B, length)


def sequences_at(replay: Replay, env_B: jax.Array, time_B: jax.Array, length: int):
    """Sequences of `length` rows from these environments and times (modulo T), (B, length, ...)."""
    time_BL = (time_B[:, None] + jnp.arange(length)[None]) % replay.capacity
    return jax.tree.map(lambda rows: rows[env_B[:, None], time_BL], replay.rows)
