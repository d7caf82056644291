"""Paged attention: the definition."""

import jax
import jax.numpy as jnp

from pallas_kernels.paged_attention.options import attended, checked
from pallas_kernels.soft_cap import soft_cap


def reference(
    q: jax.Array,
    k_pages: jax.Array,
    v_pages: jax.Array,
    block_tables: jax.Array,
    lengths: jax.Array,
    **options,
) -> tuple[jax.Array, jax.Array]:
    """Gathers the pages of each sequence and attends to them, in float32 or wider."""
    scale, cap, window, _ = checked(q, k_pages, v_pages, block_tables, lengths, **options)
    (B, H, K), (G, _, page, _), P = q.shape, k_pages.shape, block_tables.shape[1]
    dtype = jnp.promote_types(q.dtype, jnp.float32)
    start, end = attended(lengths, P * page, window)
    s = jnp.arange(P * page)[None]
    mask_BS = (start[:, None] <= s) & (s < end[:, None])
    tables_BP = jnp.where(mask_BS.reshape(B, P, page).any(-1), block_tables, 0)

    def contiguous(pages) -> jax.Array:
        x_BSGK = jnp.moveaxis(pages[:, tables_BP], 0, 3).reshape(B, P * page, G, K)
        return jnp.where(mask_BS[:, :, None, None], x_BSGK.astype(dtype), 0)

    q_BGRK = q.reshape(B, G, H // G, K).astype(dtype)
    logits_BGRS = jnp.einsum("BGRK,BSGK->BGRS", q_BGRK, contiguous(k_pages)) * scale
    logits_BGRS = jnp.where(mask_BS[:, None, None], soft_cap(logits_BGRS, cap), -jnp.inf)
    lse_BGR = jax.nn.logsumexp(logits_BGRS, -1)
    weights = jnp.exp(logits_BGRS - jnp.where(lse_BGR == -jnp.inf, 0, lse_BGR)[..., None])
    out = jnp.einsum("BGRS,BSGK->BGRK", weights, contiguous(v_pages))
    return out.reshape(q.shape).astype(q.dtype), lse_BGR.reshape(B, H)
