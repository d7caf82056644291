"""Causal attention whose memory grows with T + S instead of T S.

The definition is `panorax.ops.attention.attention` under a causal or sliding-window mask.
`pallas_kernels.flash_attention` computes it by blocks: in a kernel on a GPU and a TPU, in jax.numpy
elsewhere.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pallas_kernels.flash_attention import flash_attention
from pallas_kernels.flash_attention.xla import BLOCK, LEAST, NEVER
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards

__all__ = ["BLOCK", "NEVER", "causal_attention", "joined_attention"]

FAR = 2**30  # a window or a position beyond every text, whose sum with another fits int32


def causal_attention(
    q_BTHK: Float[Array, "B T H K"],
    k_BSGK: Float[Array, "B S G K"],
    v_BSGK: Float[Array, "B S G K"],
    query_BT: Int[Array, "#B T"],
    key_BS: Int[Array, "#B S"],
    window: int | Int[Array, ""],
    scale: float | None = None,
    cap: float | None = None,
    implementation: str | None = None,
    *,
    slopes_H: Float[Array, " H"] | None = None,
    sinks: int = 0,
) -> Float[Array, "B T H K"]:
    """softmax(scale q k^T) v over the keys in the last `window` positions, the query's included.

    query_BT, key_BS: nonnegative positions in any order. A query without a visible key returns 0.
    window: `NEVER` for all positions.  scale: by default 1 / sqrt(K).  cap: soft cap of the logits.
    implementation: of `pallas_kernels.flash_attention`.
    slopes_H: decrease of the logits of each head per position of distance (ALiBi), or None.
    sinks: number of first keys that every later query sees, whatever the window (Xiao et al. 2023,
        arXiv:2309.17453).

    Softmax and sums are float32; the result has the dtype of v. Raises ValueError if G does not
    divide H. Forward-mode differentiation (`jax.jvp`, `jax.hessian`) works only on a CPU, if the
    queries or the keys fit one block (`BLOCK`); use `attention` instead.
    """

    def run(q_BTHK, k_BSGK, v_BSGK, query_BT, key_BS, window, slopes_H=None):
        options = {"causal": True, "scale": scale, "cap": cap, "implementation": implementation}
        options |= {"q_positions": query_BT, "slopes": slopes_H}
        recent = functools.partial(
            flash_attention, q_BTHK, k_BSGK, v_BSGK, window=window, k_positions=key_BS, **options
        )
        if not sinks:
            return recent()
        # a sink is outside the window of a query if it precedes the query by `window` or more
        beyond = jnp.minimum(window, FAR)
        first = (x[:, :sinks] for x in (k_BSGK, v_BSGK))
        shifted = jnp.minimum(key_BS[:, :sinks], FAR) + beyond
        out, lse = flash_attention(q_BTHK, *first, k_positions=shifted, return_lse=True, **options)
        if slopes_H is not None:
            lse -= slopes_H[None, :, None] * beyond
        return joined_attention(*recent(return_lse=True), out, lse)

    rows = (BATCH_AXES,)
    heads = (*rows, (), TENSOR_AXES)
    arrays = (q_BTHK, k_BSGK, v_BSGK, query_BT, key_BS, window)
    splits = (heads, heads, heads, rows, rows, ())
    if slopes_H is not None:
        arrays, splits = (*arrays, slopes_H), (*splits, (TENSOR_AXES,))
    return by_shards(run, arrays, splits, implementation)


def joined_attention(
    out_a: Float[Array, "B T H K"],
    lse_a: Float[Array, "B H T"],
    out_b: Float[Array, "B T H K"],
    lse_b: Float[Array, "B H T"],
) -> Float[Array, "B T H K"]:
    """Attention over two disjoint sets of keys, from the values and log-sum-exp over each set.

    out = (e^lse_a out_a + e^lse_b out_b) / (e^lse_a + e^lse_b), with 0 for two empty sets.
    """
    highest = jnp.maximum(jnp.maximum(lse_a, lse_b), LEAST)
    a, b = (jnp.exp(lse - highest) for lse in (lse_a, lse_b))
    share_BTH1 = lambda x: (x / jnp.maximum(a + b, 1e-30)).swapaxes(1, 2)[..., None]
    return (share_BTH1(a) * out_a + share_BTH1(b) * out_b).astype(out_a.dtype)
