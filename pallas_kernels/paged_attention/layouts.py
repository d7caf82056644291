"""vLLM's key/value caches as pages [G, pages, page, K], and back.

vLLM has three layouts: NHD for FlashAttention, NHD or HND for FlashInfer, and the split layout of
its first kernels. Keys of the split layout have x = 16 bytes / itemsize neighbouring elements last,
so that a thread reads 16 bytes. FlashAttention's cache is [2, pages, ...], FlashInfer's
[pages, 2, ...], for keys and values; convert each half.
Block tables and lengths are the same in every layout. A conversion copies the cache.

Source: vllm/v1/attention/backends/flash_attn.py and flashinfer.py (`get_kv_cache_shape`), and
vllm/attention/ops/paged_attn.py of vLLM.
"""

import jax
import jax.numpy as jnp


def from_nhd(cache: jax.Array) -> jax.Array:
    """[pages, page, G, K] -> [G, pages, page, K]."""
    return jnp.moveaxis(cache, 2, 0)


def to_nhd(pages: jax.Array) -> jax.Array:
    """[G, pages, page, K] -> [pages, page, G, K]."""
    return jnp.moveaxis(pages, 0, 2)


def from_hnd(cache: jax.Array) -> jax.Array:
    """[pages, G, page, K] -> [G, pages, page, K]."""
    return jnp.moveaxis(cache, 1, 0)


def to_hnd(pages: jax.Array) -> jax.Array:
    """[G, pages, page, K] -> [pages, G, page, K]."""
    return jnp.moveaxis(pages, 0, 1)


def from_split(k_cache: jax.Array, v_cache: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys [pages, G, K / x, page, x], values [pages, G, K, page] -> [G, pages, page, K] each."""
    pages, G, groups, page, x = k_cache.shape
    keys = k_cache.transpose(1, 0, 3, 2, 4).reshape(G, pages, page, groups * x)
    return keys, v_cache.transpose(1, 0, 3, 2)


def to_split(k_pages: jax.Array, v_pages: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[G, pages, page, K] each -> keys [pages, G, K / x, page, x] and values [pages, G, K, page].

    Raises ValueError if x = 16 / itemsize does not divide K.
    """
    (G, pages, page, K), x = k_pages.shape, 16 // k_pages.dtype.itemsize
    if K % x:
        raise ValueError(f"head dimension {K}; accepted: a multiple of {x} for {k_pages.dtype}")
    keys = k_pages.reshape(G, pages, page, K // x, x).transpose(1, 0, 3, 2, 4)
    return keys, v_pages.transpose(1, 0, 3, 2)
