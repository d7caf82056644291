"""Attention: the definition, with all logits at once."""

import jax
import jax.numpy as jnp

from pallas_kernels.flash_attention.mask import Form, Tokens, visible, within_lengths
from pallas_kernels.soft_cap import soft_cap


def reference(q_BTHK, k_BSGK, v_BSGK, tokens: Tokens, form: Form, bias_BHTS=None):
    """Values, and log-sum-exp if `form.lse`, by the formula; 4 T S bytes for each row and head."""
    tokens = tokens.placed(q_BTHK, k_BSGK)
    mask_BTS = visible(tokens, form.causal)
    k_BSGK, v_BSGK = within_lengths(k_BSGK, tokens), within_lengths(v_BSGK, tokens)
    if tokens.slopes_H is not None:
        distance_BTS = jnp.abs(tokens.query_BT[:, :, None] - tokens.key_BS[:, None, :])
        line_BHTS = -tokens.slopes_H[None, :, None, None] * distance_BTS[:, None]
        bias_BHTS = line_BHTS if bias_BHTS is None else bias_BHTS + line_BHTS
    out_BTHK, logits_BHTS = masked_attention(
        q_BTHK, k_BSGK, v_BSGK, mask_BTS, form.scale, form.cap, bias_BHTS
    )
    return out_BTHK, log_sum_exp(logits_BHTS, mask_BTS[:, None]) if form.lse else None


def masked_attention(q_BTHK, k_BSGK, v_BSGK, mask_BTS, scale, cap=None, bias_BHTS=None):
    """softmax(cap tanh(scale q k^T / cap) + bias) v over the keys of the mask, and the logits.

    A query without any key returns 0. Logits and softmax are float32 or wider.
    """
    B, T, H, K = q_BTHK.shape
    S, G = k_BSGK.shape[1:3]
    wide = jnp.promote_types(q_BTHK.dtype, jnp.float32)
    q_BTGRK = q_BTHK.reshape(B, T, G, H // G, K)
    logits_BGRTS = jnp.einsum("BTGRK,BSGK->BGRTS", q_BTGRK, k_BSGK, preferred_element_type=wide)
    logits_BGRTS = soft_cap(logits_BGRTS * scale, cap)
    if bias_BHTS is not None:
        bias_BHTS = jnp.broadcast_to(bias_BHTS, (B, H, T, S))
        logits_BGRTS += bias_BHTS.reshape(logits_BGRTS.shape)
    least = jnp.finfo(jnp.float32).min
    logits_BGRTS = jnp.where(mask_BTS[:, None, None], logits_BGRTS, least)
    weights_BGRTS = jax.nn.softmax(logits_BGRTS, -1).astype(v_BSGK.dtype)
    out_BTHK = jnp.einsum("BGRTS,BSGK->BTGRK", weights_BGRTS, v_BSGK).reshape(B, T, H, K)
    out_BTHK = jnp.where(jnp.any(mask_BTS, -1)[:, :, None, None], out_BTHK, 0)
    return out_BTHK, logits_BGRTS.reshape(B, H, T, S)


def log_sum_exp(logits_BHTS, mask_BHTS) -> jax.Array:
    """Logarithm of the softmax's denominator; -inf for a query without any key."""
    some = jnp.any(mask_BHTS, -1)
    finite = jnp.where(some[..., None], logits_BHTS, 0)
    return jnp.where(some, jax.nn.logsumexp(finite, -1), -jnp.inf)
