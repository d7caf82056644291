"""Paged attention by XLA, in memory of one tile of pages per sequence."""

import jax
import jax.numpy as jnp

from pallas_kernels.launch import ceil_div, dot
from pallas_kernels.paged_attention import online
from pallas_kernels.paged_attention.options import Options, attended
from pallas_kernels.soft_cap import soft_cap

TILE = 128  # keys of a step of the loop, at least


def blockwise(q, k_pages, v_pages, block_tables, lengths, options: Options):
    """A loop over the pages up to the longest sequence, a few pages at a time."""
    (B, H, K), (G, _, page, _), P = q.shape, k_pages.shape, block_tables.shape[1]
    at_once = min(P, ceil_div(TILE, page))
    N = at_once * page

    def sequence(q_GRK, table, length):
        start, end = attended(length, P * page, options.window)

        def tile(i, running):
            position = i * N + jnp.arange(N)
            here = (start <= position) & (position < end)
            number = jnp.where(here, table.at[position // page].get(mode="clip"), 0)

            def head(q_RK, k_pages, v_pages, running):
                k = k_pages[number, position % page].astype(q.dtype)
                v = jnp.where(here[:, None], v_pages[number, position % page], 0).astype(q.dtype)
                logits = soft_cap(dot(q_RK, k, (1, 1)) * options.scale, options.cap)
                return online.extend(running, jnp.where(here[None], logits, -jnp.inf), v)

            return jax.vmap(head)(q_GRK, k_pages, v_pages, running)

        none = jax.tree.map(lambda x: jnp.broadcast_to(x, (G, *x.shape)), online.nothing(H // G, K))
        running = jax.lax.fori_loop(start // N, ceil_div(end, N), tile, none)
        return jax.vmap(online.finish)(running)

    out, lse = jax.vmap(sequence)(q.reshape(B, G, H // G, K), block_tables, lengths)
    return out.reshape(q.shape).astype(q.dtype), lse.reshape(B, H)
