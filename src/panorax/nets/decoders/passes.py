"""One layer's view of the tokens of a pass: a whole text, or new tokens after cached ones.

The attention of a decoder is written once for both. `remember` turns entries of the new tokens into
those of all tokens so far, `recalled` and `kept` do the same for states of a fixed size, and
`softmax` attends by position.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from panorax.ops.attention import attention, distance_bias, sliding_window_mask
from panorax.ops.blockwise import causal_attention


@dataclasses.dataclass(frozen=True)
class FullPass:
    """A pass over a whole text."""

    position_BT: jax.Array
    """positions of the tokens; one row if all rows have the same"""
    rotate: Callable
    """function that rotates queries or keys by their positions"""
    window: Any
    """number of last positions that a query sees, its own included"""
    sinks: int = 0
    """number of first tokens that every later token sees"""
    slopes_H: jax.Array | None = None
    """decrease of the logits of each head per position of distance"""
    mask_BTS: jax.Array | None = None
    """False where a query may not attend to a key"""

    def remember(self, new):
        """Entries of all tokens, their positions, and no cache."""
        return new, self.position_BT, None

    def recalled(self, empty: Callable, batch: int, T: int):
        """States before the text, `empty(batch)`, and the number of tokens that count."""
        if self.mask_BTS is not None:
            raise ValueError("attention by states has no mask: every token enters the states")
        return empty(batch), jnp.full(batch, T, jnp.int32)

    def kept(self, new):
        """The cache after the text: none."""
        return None

    def softmax(self, q_BTHK, k_BSGK, v_BSGK, key_BS, scale=None, cap=None):
        """Softmax attention under the causal mask, the window and `mask_BTS`."""
        if self.mask_BTS is None:
            return _causal(self, q_BTHK, k_BSGK, v_BSGK, key_BS, scale, cap)
        mask = sliding_window_mask(self.position_BT, key_BS, self.window)
        if self.sinks:
            first_S = jnp.arange(key_BS.shape[1]) < self.sinks
            mask |= first_S & (key_BS[:, None, :] <= self.position_BT[:, :, None])
        bias = distance_bias(self.slopes_H, self.position_BT, key_BS)
        return attention(q_BTHK, k_BSGK, v_BSGK, mask & self.mask_BTS, scale, cap, bias)


@dataclasses.dataclass(frozen=True)
class CachedPass:
    """A pass over new tokens after the tokens of a cache."""

    position_BT: jax.Array
    """positions of the new tokens"""
    rotate: Callable
    """function that rotates queries or keys by their positions"""
    window: Any
    """number of last positions that a query sees, its own included"""
    sinks: int
    """number of first tokens that every later token sees"""
    slopes_H: jax.Array | None
    """decrease of the logits of each head per position of distance"""
    layers: Any
    """cache of all layers before the new tokens, `Slots` or `States` of
    `panorax.nets.decoders.cache`"""
    l: Any
    """index of this layer"""
    counted_B: jax.Array
    """number of first new tokens of each row that count; the others are padding"""

    def remember(self, new):
        """Entries of all tokens so far, their positions, and the cache after the new tokens."""
        length_B = self.position_BT[:, 0]
        return self.layers.remember(self.l, new, self.position_BT, length_B, self.counted_B)

    def recalled(self, empty: Callable, batch: int, T: int):
        """This layer's states before the new tokens, and the number of tokens that count."""
        return self.layers.read(self.l), self.counted_B

    def kept(self, new):
        """The cache with the states `new` of this layer."""
        return self.layers.written(self.l, new)

    def softmax(self, q_BTHK, k_BSGK, v_BSGK, key_BS, scale=None, cap=None):
        """Softmax attention under the causal mask and the window."""
        return _causal(self, q_BTHK, k_BSGK, v_BSGK, key_BS, scale, cap)


def _causal(view, q_BTHK, k_BSGK, v_BSGK, key_BS, scale, cap):
    options = {"scale": scale, "cap": cap, "slopes_H": view.slopes_H, "sinks": view.sinks}
    return causal_attention(
        q_BTHK, k_BSGK, v_BSGK, view.position_BT, key_BS, view.window, **options
    )
