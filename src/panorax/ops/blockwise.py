"""Causal attention whose memory grows with T + S instead of T S.

The definition is `panorax.ops.attention.attention` under a causal or sliding-window mask.
`pallas_kernels.flash_attention` computes it by blocks: in a kernel on a GPU and a TPU, in jax.numpy
elsewhere.
"""

from jaxtyping import Array, Float, Int

from pallas_kernels.flash_attention import flash_attention
from pallas_kernels.flash_attention.xla import BLOCK, NEVER
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards

__all__ = ["BLOCK", "NEVER", "causal_attention"]


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
) -> Float[Array, "B T H K"]:
    """softmax(scale q k^T) v over the keys in the last `window` positions, the query's included.

    query_BT, key_BS: nonnegative positions in any order. A query without a visible key returns 0.
    window: `NEVER` for all positions.  scale: by default 1 / sqrt(K).  cap: soft cap of the logits.
    implementation: of `pallas_kernels.flash_attention`.

    Softmax and sums are float32; the result has the dtype of v. Raises ValueError if G does not
    divide H. Forward-mode differentiation (`jax.jvp`, `jax.hessian`) works only on a CPU, if the
    queries or the keys fit one block (`BLOCK`); use `attention` instead.
    """

    def run(q_BTHK, k_BSGK, v_BSGK, query_BT, key_BS, window):
        return flash_attention(
            q_BTHK,
            k_BSGK,
            v_BSGK,
            causal=True,
            window=window,
            q_positions=query_BT,
            k_positions=key_BS,
            scale=scale,
            cap=cap,
            implementation=implementation,
        )

    rows = (BATCH_AXES,)
    heads = (*rows, (), TENSOR_AXES)
    arrays = (q_BTHK, k_BSGK, v_BSGK, query_BT, key_BS, window)
    return by_shards(run, arrays, (heads, heads, heads, rows, rows, ()), implementation)
