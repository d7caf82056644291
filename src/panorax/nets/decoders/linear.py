"""Linear attention as the attention of a decoder (`panorax.ops.linear_attention`).

Queries, keys and values are those of `Heads`. A row of the cache has (K + 1) K numbers for each
head and layer in float32, whatever its length. A scheme with slopes (`Alibi`) decays the states:
e^-slope per token.
"""

import functools

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, checked
from panorax.nets.decoders import cache, heads
from panorax.ops.dot import dot
from panorax.ops.linear_attention import CHUNK, Memory, features, linear_attention


@checked
class Linear(heads.Heads):
    """Linear attention: a state of fixed size in place of a cache that grows with the text."""

    chunk: Count = CHUNK
    """tokens per chunk, within which all products of queries and keys are computed"""

    def check(self, cfg):
        """Raises ValueError for windows and sinks, which linear attention does not have."""
        if any(cfg.windows) or cfg.sinks:
            raise ValueError("linear attention has no windows and no sinks; set them to 0")

    def empty(self, cfg, batch, room):
        of_layers = lambda x: jnp.zeros((cfg.n_layers, *x.shape), x.dtype)
        return cache.States(jax.tree.map(of_layers, _no_tokens(cfg, batch)))

    def attend(self, h_BTD, layer, view, cfg, project=heads.projections):
        """Output (B, T, D), and what `view` keeps; `Heads.attend` has the arguments."""
        (B, T, _), H = h_BTD.shape, cfg.n_heads
        q_BTHK, k_BTGK, v_BTGK = project(h_BTD, layer, cfg)
        shared = lambda x_BTGK: jnp.repeat(x_BTGK, H // cfg.n_kv_heads, 2)
        f_BTHK, h_BTHK, v_BTHK = features(q_BTHK), features(shared(k_BTGK)), shared(v_BTGK)
        memory, counted_B = view.recalled(functools.partial(_no_tokens, cfg), B, T)
        slopes_H = jnp.zeros(H) if view.slopes_H is None else view.slopes_H
        out_BTHK, memory = linear_attention(
            view.rotate(f_BTHK),
            view.rotate(h_BTHK),
            v_BTHK.astype(jnp.float32),
            (f_BTHK, h_BTHK),
            slopes_H,
            memory,
            counted_B,
            self.chunk,
        )
        return dot(out_BTHK.astype(h_BTD.dtype), layer["o"], 2), view.kept(memory)


def _no_tokens(cfg, batch: int) -> Memory:
    """The sums of a layer before the first token."""
    H, K = cfg.n_heads, cfg.head_size
    return Memory(jnp.zeros((batch, H, K, K)), jnp.zeros((batch, H, K, 1)))
