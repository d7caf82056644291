"""Scaled dot-product attention with grouped key/value heads, and its masks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def attention(
    q_BTHK: Float[Array, "B T H K"],
    k_BSGK: Float[Array, "B S G K"],
    v_BSGK: Float[Array, "B S G K"],
    mask_BTS: Bool[Array, "#B T S"],
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "B T H K"]:
    """softmax(scale q k^T) v; each group of H / G query heads shares one key/value head.

    mask_BTS: True if the query may attend to the key. A query without any such key returns 0.
    scale: by default 1 / sqrt(K).  cap: soft cap of the logits (see `soft_cap`).
    Logits and softmax are computed in float32. It can be differentiated in forward and in reverse
    mode. Raises ValueError if G does not divide H.
    Source: Vaswani et al. 2017; Ainslie et al. 2023 (grouped heads).
    """
    B, T, H, K = q_BTHK.shape
    G = k_BSGK.shape[2]
    if H % G:
        raise ValueError(f"{G} key/value heads do not divide {H} query heads")
    q_BTGRK = q_BTHK.reshape(B, T, G, H // G, K)
    logits_BGRTS = jnp.einsum(
        "BTGRK,BSGK->BGRTS", q_BTGRK, k_BSGK, preferred_element_type=jnp.float32
    )
    logits_BGRTS = soft_cap(logits_BGRTS * (K**-0.5 if scale is None else scale), cap)
    logits_BGRTS = jnp.where(mask_BTS[:, None, None], logits_BGRTS, jnp.finfo(jnp.float32).min)
    weights_BGRTS = jax.nn.softmax(logits_BGRTS, -1).astype(v_BSGK.dtype)
    out_BTHK = jnp.einsum("BGRTS,BSGK->BTGRK", weights_BGRTS, v_BSGK).reshape(B, T, H, K)
    return jnp.where(jnp.any(mask_BTS, -1)[:, :, None, None], out_BTHK, 0)


def soft_cap(x: Float[Array, "*shape"], cap: float | None) -> Float[Array, "*shape"]:
    """cap tanh(x / cap), which lies between -cap and cap; x unchanged if `cap` is None.

    Source: Gemma 2, arXiv:2408.00118, section 2.
    """
    return x if cap is None else cap * jnp.tanh(x / cap)


def causal_mask(query_BT: Int[Array, "#B T"], key_BS: Int[Array, "#B S"]) -> Bool[Array, "B T S"]:
    """True if the key's position is at most the query's position."""
    return key_BS[:, None, :] <= query_BT[:, :, None]


def sliding_window_mask(
    query_BT: Int[Array, "#B T"], key_BS: Int[Array, "#B S"], window: int | Int[Array, ""]
) -> Bool[Array, "B T S"]:
    """True if the key is among the last `window` positions up to and including the query.

    Source: Mistral 7B, arXiv:2310.06825.
    """
    return causal_mask(query_BT, key_BS) & (key_BS[:, None, :] > query_BT[:, :, None] - window)
