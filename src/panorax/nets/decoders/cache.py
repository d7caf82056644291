"""What a decoder keeps of the tokens so far, as its attention lays it out.

`Slots` keeps an entry of each token, such as its keys and values. `States` keeps arrays of a fixed
size, such as the sums of linear attention. Both are pytrees whose arrays have a first axis L.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.core.ranges import checked
from panorax.ops.blockwise import NEVER

static = lambda: dataclasses.field(metadata={"pytree_node": False})


@checked
class Exact:
    """Entries of a cache in the dtype of the model."""

    def encode(self, x):
        """The stored form of entries (..., K): arrays with the same leading axes."""
        return x

    def decode(self, stored, dtype):
        """Entries in `dtype` from their stored form."""
        return stored


@checked
class Int8:
    """Entries of a cache in 8 bits, with a scale of each token and head.

    x is stored as round(x / s) with s = max |x| / 127 over the K numbers of a token and head, so
    the error of a number is at most s / 2. A number takes 1 + 4 / K bytes.
    """

    def encode(self, x):
        scale = jnp.max(jnp.abs(x), -1, keepdims=True).astype(jnp.float32) / 127
        rounded = jnp.round(x.astype(jnp.float32) / jnp.maximum(scale, 1e-30))
        return {"int8": rounded.astype(jnp.int8), "scale": scale}

    def decode(self, stored, dtype):
        return (stored["int8"] * stored["scale"]).astype(dtype)


@struct.dataclass
class Slots:
    """Entries of the tokens so far in S slots per row, the arrays (L, B, G, S, K).

    The tokens of a head are contiguous, which is the layout that attention reads. Position p is in
    slot p. Past `most` slots, the ring after the first `sinks` slots begins anew: a new token
    replaces the oldest, which no window reaches any more.
    """

    arrays: tuple
    """the arrays of an entry, each in the form of `codec`"""
    codec: Any = static()
    """form of the stored entries: `Exact` or `Int8`"""
    dtype: str = static()
    """dtype of the entries that are read"""
    sinks: int = static()
    """slots of the first tokens, which are never replaced"""
    most: int = static()
    """slots that suffice for every text: the sinks and the widest window"""

    @property
    def room(self) -> int:
        """Slots per row [S]."""
        return jax.tree.leaves(self.arrays)[0].shape[3]

    def grown(self, room: int) -> "Slots":
        """The same entries with space for texts of `room` tokens, at least as many as before."""
        more = min(room, self.most) - self.room
        pads = ((0, 0),) * 3 + ((0, more), (0, 0))
        return self.replace(arrays=jax.tree.map(lambda x: jnp.pad(x, pads), self.arrays))

    def remember(self, l, new, position_BT, length_B, counted_B):
        """Adds entries of new tokens to layer l.

        new: a tuple of arrays (B, T, G, K).  length_B: tokens before them.  counted_B: number of
        first new tokens of each row that count; the others are padding.
        Returns the entries that the new tokens read, (B, S, G, K), the positions of these entries
        (B or 1, S), and the Slots after the new tokens.
        """
        if self.room < self.most:
            after = self._written(l, new, position_BT)
            return after._read(l), jnp.arange(self.room)[None], after
        # sinks are written first, then all is read: other new tokens replace what some of them see
        counts_BT = position_BT < (length_B + counted_B)[:, None]
        is_sink_BT = position_BT < self.sinks
        before = self._written(l, new, jnp.where(counts_BT & is_sink_BT, position_BT, NEVER))
        kept = jax.tree.map(lambda *x: jnp.concatenate(x, 1), before._read(l), self._rounded(new))
        newer_BT = jnp.where(is_sink_BT, NEVER, position_BT)
        key_BS = jnp.concatenate([self._held(length_B), newer_BT], 1)
        stays_BT = counts_BT & (position_BT >= (length_B + counted_B)[:, None] - self._ring)
        return kept, key_BS, before._written(l, new, jnp.where(stays_BT, newer_BT, NEVER))

    @property
    def _ring(self) -> int:
        return max(self.room - self.sinks, 1)

    def _slot(self, position_BT):
        """The slot of each position; an index out of range for `NEVER`, which is not written."""
        slot_BT = self.sinks + (position_BT - self.sinks) % self._ring
        slot_BT = jnp.where(position_BT < self.sinks, position_BT, slot_BT)
        return jnp.where(position_BT == NEVER, self.room, slot_BT)

    def _held(self, length_B):
        """The position of the entry in each slot, (B, S); `NEVER` for an empty slot of the ring."""
        slot_1S = jnp.arange(self.room)[None]
        newest_B1 = length_B[:, None] - 1
        held_BS = newest_B1 - (newest_B1 - slot_1S) % self._ring
        held_BS = jnp.where(held_BS >= self.sinks, held_BS, NEVER)
        return jnp.where(slot_1S < self.sinks, slot_1S, held_BS)

    def _written(self, l, new, position_BT):
        """The Slots with new entries at their positions; entries at `NEVER` are dropped."""
        B, G = jax.tree.leaves(self.arrays)[0].shape[1:3]
        slot_BT = self._slot(position_BT) if self.room >= self.most else position_BT
        place = (l, jnp.arange(B)[:, None, None], jnp.arange(G)[None, :, None], slot_BT[:, None])
        encoded = tuple(map(self.codec.encode, new))
        put = lambda kept, x: kept.at[place].set(x.swapaxes(1, 2))
        return self.replace(arrays=jax.tree.map(put, self.arrays, encoded))

    def _rounded(self, new):
        """New entries as they are read once they are stored."""
        return tuple(self.codec.decode(self.codec.encode(x), self.dtype) for x in new)

    def _read(self, l):
        """All entries of layer l, (B, S, G, K)."""
        of_layer = jax.tree.map(lambda x: x[l].swapaxes(1, 2), self.arrays)
        return tuple(self.codec.decode(x, self.dtype) for x in of_layer)


def slots(cfg, shapes, batch: int, room: int) -> Slots:
    """Empty `Slots` of a decoder for texts of `room` tokens.

    shapes: a tuple of (G, K), one for each array of an entry: groups, and numbers per group.
    """
    widest = max(window or NEVER for window in cfg.windows)
    most = NEVER if widest == NEVER else cfg.sinks + widest
    S = min(room, most)
    empty = lambda G, K: jnp.zeros((cfg.n_layers, batch, G, S, K), cfg.dtype)
    arrays = tuple(cfg.cache.encode(empty(*shape)) for shape in shapes)
    return Slots(arrays, cfg.cache, cfg.dtype, cfg.sinks, most)


@struct.dataclass
class States:
    """Arrays of a fixed size for each layer, (L, B, ...), whatever the length of the text."""

    arrays: Any

    def grown(self, room: int) -> "States":
        """The same: no text needs more."""
        return self

    def read(self, l):
        """The arrays of layer l, (B, ...)."""
        return jax.tree.map(lambda x: x[l], self.arrays)

    def written(self, l, new) -> "States":
        """The states with the arrays `new` in layer l."""
        return States(jax.tree.map(lambda kept, x: kept.at[l].set(x), self.arrays, new))


@struct.dataclass
class Cache:
    """What a decoder keeps of the tokens so far.

    layers: `Slots` or `States`.  length: number of tokens in each row, int32 (B,).
    """

    layers: Any
    length: Any
