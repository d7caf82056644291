"""Scaled dot-product attention with grouped key/value heads, and the masks it takes."""

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
    """softmax(scale q k^T) v, each group of H/G query heads sharing one key/value head (Vaswani et al. 2017; Ainslie et al. 2023).

    `scale` is 1 / sqrt(K) unless given; with a `cap` logits x become cap tanh(x / cap) (Gemma 2, arXiv:2408.00118, sec. 2). True in the mask
    means "may attend"; a query that may attend nothing gets the mean of all values. Logits and softmax in float32.
    Raises ValueError where G does not divide H.
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
    return jnp.einsum("BGRTS,BSGK->BTGRK", weights_BGRTS, v_BSGK).reshape(B, T, H, K)


def soft_cap(x: Float[Array, "*shape"], cap: float | None) -> Float[Array, "*shape"]:
    """cap tanh(x / cap), which stays within -cap and cap; x itself where `cap` is None."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def causal_mask(query_BT: Int[Array, "#B T"], key_BS: Int[Array, "#B S"]) -> Bool[Array, "B T S"]:
    """True where the key's position is not after the query's."""
    return key_BS[:, None, :] <= query_BT[:, :, None]


def sliding_window_mask(
    query_BT: Int[Array, "#B T"], key_BS: Int[Array, "#B S"], window: int | Int[Array, ""]
) -> Bool[Array, "B T S"]:
    """Causal, and among the last `window` positions, the query's own included (Mistral's convention)."""
    return causal_mask(query_BT, key_BS) & (key_BS[:, None, :] > query_BT[:, :, None] - window)
