"""Scaled dot-product attention with grouped key/value heads, and its masks."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pallas_kernels.flash_attention.reference import masked_attention
from pallas_kernels.soft_cap import soft_cap as _soft_cap


def attention(
    q_BTHK: Float[Array, "B T H K"],
    k_BSGK: Float[Array, "B S G K"],
    v_BSGK: Float[Array, "B S G K"],
    mask_BTS: Bool[Array, "#B T S"],
    scale: float | None = None,
    cap: float | None = None,
    bias_BHTS: Float[Array, "#B H T S"] | None = None,
) -> Float[Array, "B T H K"]:
    """softmax(scale q k^T) v; each group of H / G query heads shares one key/value head.

    mask_BTS: True if the query may attend to the key. A query without any such key returns 0.
    scale: by default 1 / sqrt(K).  cap: soft cap of the logits (see `soft_cap`).
    bias_BHTS: added to the logits after the cap, such as `distance_bias`; None for no bias.
    Logits and softmax are computed in float32. It can be differentiated in forward and in reverse
    mode. Raises ValueError if G does not divide H.
    Source: Vaswani et al. 2017; Ainslie et al. 2023 (grouped heads).
    """
    H, K, G = *q_BTHK.shape[2:], k_BSGK.shape[2]
    if H % G:
        raise ValueError(f"{G} key/value heads do not divide {H} query heads")
    scale = K**-0.5 if scale is None else scale
    return masked_attention(q_BTHK, k_BSGK, v_BSGK, mask_BTS, scale, cap, bias_BHTS)[0]


def distance_bias(
    slopes_H: Float[Array, " H"] | None, query_BT: Int[Array, "#B T"], key_BS: Int[Array, "#B S"]
) -> Float[Array, "#B H T S"] | None:
    """-slope |query - key|, which ALiBi adds to the logits (Press et al. 2022); None for None."""
    if slopes_H is None:
        return None
    distance_BTS = jnp.abs(query_BT[:, :, None] - key_BS[:, None, :])
    return -slopes_H[None, :, None, None] * distance_BTS[:, None]


def soft_cap(x: Float[Array, "*shape"], cap: float | None) -> Float[Array, "*shape"]:
    """cap tanh(x / cap), which lies between -cap and cap; x unchanged if `cap` is None.

    Source: Gemma 2, arXiv:2408.00118, section 2.
    """
    return _soft_cap(x, cap)


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
