"""Paged attention: the kernels for GPU and TPU, which differ in how a program finds its pages."""

import jax
import jax.numpy as jnp

from pallas_kernels.launch import (
    EVERY,
    PROCESSORS,
    Block,
    ceil_div,
    dot,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    store,
)
from pallas_kernels.paged_attention import online
from pallas_kernels.paged_attention.options import Options, attended
from pallas_kernels.soft_cap import soft_cap

PROGRAMS = 2 * PROCESSORS  # of a grid at least, where contexts are long enough
FEWEST = 256  # keys of a split, so that partial outputs stay small beside keys and values
TILE_BYTES = 16_384  # keys of one tile: three programs of two stages share a multiprocessor
PADDED = 32_768  # query heads times head dimension that the registers of one program hold
TPU_TILE = 128  # keys of one TPU program


def kernel(q, k_pages, v_pages, block_tables, lengths, options: Options, backend: str):
    """Output [B, H, K] and log-sum-exp [B, H]."""
    (B, H, K), G = q.shape, k_pages.shape[0]
    partial = _on_tpu if backend.startswith("tpu") else _on_gpu
    q_BGRK = q.reshape(B, G, H // G, K)
    outs, lses = partial(q_BGRK, k_pages, v_pages, block_tables, lengths, options, backend)
    if outs.shape[2] == 1:
        out, lse = outs, lses
    else:
        out, lse = online.combine(outs, lses, axis=2)
    return out.reshape(q.shape).astype(q.dtype), lse.reshape(B, H)


def _on_gpu(q, k_pages, v_pages, block_tables, lengths, options: Options, backend: str):
    """A program for each (sequence, head, split) loops over tiles of N keys and looks pages up."""
    (B, G, R, K), (_, pages, page, _), P = q.shape, k_pages.shape, block_tables.shape[1]
    rows, width = max(16, power_of_2(R)), power_of_2(K)
    if rows * width > PADDED:
        raise NotImplementedError(
            f"a program holds {PADDED} elements of queries, not {rows} heads of {width}"
        )
    N = max(16, TILE_BYTES // (width * k_pages.dtype.itemsize))
    splits = options.splits or max(1, min(ceil_div(PROGRAMS, B * G), P * page // FEWEST))

    def body(q, k_pages, v_pages, table, length, out, lse):
        row, column = iota((rows, width), 0), iota((rows, width), 1)
        inside = (row < R) & (column < K)
        queries = load(q, EVERY, inside)
        start, end = attended(length[0], P * page, options.window)
        share = ceil_div(ceil_div(end - start, N), splits) * N
        first = start + program_id(2) * share
        last = jnp.minimum(first + share, end)

        def tile(i, running):
            s = first + i * N + iota((N,), 0)
            here = s < last
            number = load(table, (s // page,), here, 0)
            key = (number[:, None], (s % page)[:, None], iota((N, width), 1))
            valid = here[:, None] & (iota((N, width), 1) < K)
            k = load(k_pages, key, valid).astype(queries.dtype)
            v = load(v_pages, key, valid).astype(queries.dtype)
            logits = soft_cap(dot(queries, k, (1, 1)) * options.scale, options.cap)
            return online.extend(running, jnp.where(here[None, :], logits, -jnp.inf), v)

        tiles = ceil_div(jnp.maximum(last - first, 0), N)
        running = jax.lax.fori_loop(0, tiles, tile, online.nothing(rows, width))
        total_out, total_lse = online.finish(running)
        store(out, EVERY, total_out, inside)
        store(lse, EVERY, total_lse, iota((rows, 1), 0) < R)

    dtype = q.dtype if splits == 1 else jnp.float32
    head = Block((None, pages, page, K), lambda b, g, i: (g, 0, 0, 0))
    part = lambda width: Block((None, None, None, rows, width), lambda b, g, i: (b, g, i, 0, 0))
    return launch(
        body,
        [q, k_pages, v_pages, block_tables, lengths],
        _partial(q, splits, dtype),
        grid=(B, G, splits),
        reads=[
            Block((None, None, rows, width), lambda b, g, i: (b, g, 0, 0)),
            head,
            head,
            Block((None, P), lambda b, g, i: (b, 0)),
            Block((1,), lambda b, g, i: (b,)),
        ],
        writes=[part(width), part(1)],
        backend=backend,
        name="paged_attention",
        warps=4 if rows * width <= 8_192 else 8,
    )


def _on_tpu(q, k_pages, v_pages, block_tables, lengths, options: Options, backend: str):
    """A program for each (sequence, head, few pages); index maps read the block tables."""
    (B, G, R, K), page, P = q.shape, k_pages.shape[2], block_tables.shape[1]
    at_once = min(P, ceil_div(TPU_TILE, page))
    splits = ceil_div(P, at_once)
    start, end = attended(lengths, P * page, options.window)
    first = jnp.arange(P) * page
    used = (first[None] < end[:, None]) & (first[None] + page > start[:, None])
    tables = jnp.pad(jnp.where(used, block_tables, 0), ((0, 0), (0, splits * at_once - P)))

    def body(tables, starts, ends, q, *references):
        *pages, out, lse = references
        b, i = program_id(0), program_id(2)
        queries = q[...]
        running = online.nothing(R, K)
        for j, (k_page, v_page) in enumerate(zip(pages[:at_once], pages[at_once:], strict=True)):
            s = (i * at_once + j) * page
            here = lambda shape, axis, s=s: (
                (starts[b] <= s + iota(shape, axis)) & (s + iota(shape, axis) < ends[b])
            )
            k = k_page[...].astype(queries.dtype)
            v = jnp.where(here((page, K), 0), v_page[...], 0).astype(queries.dtype)
            logits = soft_cap(dot(queries, k, (1, 1)) * options.scale, options.cap)
            logits = jnp.where(here((R, page), 1), logits, -jnp.inf)
            running = online.extend(running, logits, v)
        out[...], lse[...] = online.finish(running)

    def nth(j) -> Block:
        return Block(
            (None, None, page, K),
            lambda b, g, i, tables, *_: (g, tables[b, i * at_once + j], 0, 0),
        )

    part = lambda width: Block((None, None, None, R, width), lambda b, g, i, *_: (b, g, i, 0, 0))
    return launch(
        body,
        [tables, start, end, q, *(x for x in (k_pages, v_pages) for _ in range(at_once))],
        _partial(q, splits, jnp.float32),
        grid=(B, G, splits),
        reads=[
            Block((None, None, R, K), lambda b, g, i, *_: (b, g, 0, 0)),
            *(nth(j) for _ in range(2) for j in range(at_once)),
        ],
        writes=[part(K), part(1)],
        maps=3,
        backend=backend,
        name="paged_attention",
    )


def _partial(q, splits: int, dtype) -> list[jax.ShapeDtypeStruct]:
    """Output and log-sum-exp of each split, [B, G, splits, R, K] and [B, G, splits, R, 1]."""
    B, G, R, K = q.shape
    return [
        jax.ShapeDtypeStruct((B, G, splits, R, K), dtype),
        jax.ShapeDtypeStruct((B, G, splits, R, 1), jnp.float32),
    ]
