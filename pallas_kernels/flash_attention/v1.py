"""FlashAttention (Dao et al. 2022, arXiv:2205.14135): loops over blocks inside, o in memory.

A program has one row of the batch and one head. The outer loop goes over blocks of keys, which stay
on chip while the inner loop goes over the blocks of queries that see them. So the running o, m and
l of a block of queries wait in HBM for the next block of keys; o is kept divided by l:

    l' = e^(m - m') l + sum_s p_s,    o' = (e^(m - m') l o + p v) / l'

The backward pass has the same loops: dk and dv of a block of keys stay on chip, dq waits in HBM.

Against the formula: no [T, S] array. What `v2.py` improves: only B H programs, 32 for one text of
Llama 3 8B on 132 multiprocessors; o, m and l are read and written once for each block of keys,
2 T K (S / 64) float32 numbers if q has 16 bits; and a division for each block.
A program reads what its own threads wrote before, so a fence separates the two. dk and dv have a
row for each query head and XLA sums those of a group.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.flash_attention.mask import Form, Tokens, key_numbers, query_numbers
from pallas_kernels.flash_attention.tiles import (
    LOG2_E,
    Tiles,
    all_of_row,
    base_2,
    column,
    logits,
    row,
    shifts,
    split,
    steering,
)
from pallas_kernels.launch import Block, dot, fence, iota, launch, part, power_of_2, program_id

LARGEST = 128  # columns of a head


def check(q, k, tokens: Tokens, form: Form, backend: str):
    """Raises NotImplementedError for heads that the kernels have no room for."""
    if q.shape[3] > LARGEST:
        raise NotImplementedError(f"v1 has heads of at most {LARGEST}, not {q.shape[3]}")


def forward(q, k, v, tokens: Tokens, form: Form, backend: str):
    """Values [B, T, H, K], and log-sum-exp [B, H, T] in float32."""
    tiles = _tiled(q, k, backend)
    queries, keys = tiles.queries, tiles.keys
    program = lambda n: split(n, tiles.B, tiles.H)

    def body(q, k, v, query, key, bounds, slopes, o, m, l):
        slope = slopes[program(program_id(0))[1], 0]

        def clear(i, _):
            zeros = jnp.zeros((queries, 1), jnp.float32)
            tiles.store(o, jnp.zeros((queries, tiles.width)), tiles.query_rows(i), i)
            m[part(i, queries), :], l[part(i, queries), :] = zeros - jnp.inf, zeros

        jax.lax.fori_loop(0, tiles.query_blocks, clear, None)

        def block_of_keys(j, _):
            rows = bounds[j, 4] - j * keys
            k_block, v_block = (tiles.load(x, j, keys, rows) for x in (k, v))

            def block_of_queries(i, _):
                fence(backend)
                valid, here = tiles.query_rows(i), part(i, queries)
                q_block, o_old = (tiles.load(x, i, queries, valid) for x in (q, o))
                product, inside = dot(q_block, k_block, (1, 1)), iota((1, keys), 1) < rows
                of_query, of_key = column(query, i, queries), row(key, j, keys)
                x, _ = logits(product, form, tokens, of_query, of_key, slope, inside)
                m_old, l_old = m[here, :], l[here, :]
                m_new = jnp.maximum(m_old, jnp.max(x, 1, keepdims=True))
                top = jnp.where(m_new == -jnp.inf, 0, m_new)
                p, l_old = jnp.exp2(x - top), jnp.exp2(m_old - top) * l_old
                l_new = l_old + jnp.sum(p, 1, keepdims=True)
                o_new = l_old * o_old + dot(p.astype(v_block.dtype), v_block)
                tiles.store(o, o_new / jnp.where(l_new > 0, l_new, 1), valid, i)
                m[here, :], l[here, :] = m_new, l_new

            jax.lax.fori_loop(bounds[j, 0], bounds[j, 3], block_of_queries, None)

        jax.lax.fori_loop(0, tiles.key_blocks, block_of_keys, None)

    arrays, blocks = _numbers(tokens, form, tiles)
    o, m, l = launch(
        body,
        [q, k, v, *arrays],
        [tiles.output(tiles.H, tiles.T, jnp.float32), *[_a_column(tiles)] * 2],
        reads=[*_heads(tiles), *blocks],
        writes=[tiles.head(tiles.whole_T, lambda n: (*program(n), 0)), *[_column_block(tiles)] * 2],
        name="flash_attention_v1",
        **_options(tiles),
    )
    m, l = m[:, :, : tiles.T, 0], l[:, :, : tiles.T, 0]
    lse = jnp.where(l > 0, m / LOG2_E + jnp.log(jnp.where(l > 0, l, 1)), -jnp.inf)
    return o.astype(v.dtype), lse


def backward(residuals, d_out, d_lse, form: Form, backend: str):
    """Cotangents of q, k and v."""
    q, k, v, tokens, out, lse = residuals
    tiles = _tiled(q, k, backend)
    queries, keys = tiles.queries, tiles.keys
    program = lambda n: split(n, tiles.B, tiles.H)
    shift, lse = shifts(d_out, out, d_lse), base_2(lse)

    def body(q, k, v, d_out, lse, shift, query, key, bounds, slopes, dq, dk, dv):
        slope = slopes[program(program_id(0))[1], 0]

        def clear(i, _):
            tiles.store(dq, jnp.zeros((queries, tiles.width)), tiles.query_rows(i), i)

        jax.lax.fori_loop(0, tiles.query_blocks, clear, None)

        def block_of_keys(j, _):
            rows = bounds[j, 4] - j * keys
            k_block, v_block = (tiles.load(x, j, keys, rows) for x in (k, v))

            def block_of_queries(i, carry):
                fence(backend)
                dk_block, dv_block = carry
                valid, here = tiles.query_rows(i), part(i, queries)
                q_block, d_block, dq_old = (
                    tiles.load(x, i, queries, valid) for x in (q, d_out, dq)
                )
                product, inside = dot(q_block, k_block, (1, 1)), iota((1, keys), 1) < rows
                of_query, of_key = column(query, i, queries), row(key, j, keys)
                x, bend = logits(product, form, tokens, of_query, of_key, slope, inside)
                p = jnp.exp2(x - lse[here, :])
                ds = p * (dot(d_block, v_block, (1, 1)) - shift[here, :])
                ds = (ds if bend is None else ds * bend).astype(q_block.dtype)
                tiles.store(dq, dq_old + dot(ds, k_block), valid, i)
                dk_block += dot(ds, q_block, (0, 0))
                return dk_block, dv_block + dot(p.astype(d_block.dtype), d_block, (0, 0))

            zeros = jnp.zeros((keys, tiles.width), jnp.float32)
            first, last = bounds[j, 0], bounds[j, 3]
            blocks = jax.lax.fori_loop(first, last, block_of_queries, (zeros, zeros))
            tiles.store(dk, blocks[0] * form.scale, tiles.key_rows(j), j)
            tiles.store(dv, blocks[1], tiles.key_rows(j), j)

        jax.lax.fori_loop(0, tiles.key_blocks, block_of_keys, None)

    arrays, blocks = _numbers(tokens, form, tiles)
    of_head = lambda n: (*program(n), 0)
    of_queries, of_keys = (tiles.head(x, of_head) for x in (tiles.whole_T, tiles.whole_S))
    dq, dk, dv = launch(
        body,
        [
            *(q, k, v, d_out),
            *(tiles.padded(x, fill)[..., None] for x, fill in ((lse, jnp.inf), (shift, 0))),
            *arrays,
        ],
        [tiles.output(tiles.H, tokens, jnp.float32) for tokens in (tiles.T, tiles.S, tiles.S)],
        reads=[
            *_heads(tiles),
            of_queries,
            *[_column_block(tiles)] * 2,
            *blocks,
        ],
        writes=[of_queries, of_keys, of_keys],
        name="flash_attention_v1_backward",
        **_options(tiles),
    )
    dk, dv = (jnp.sum(x.reshape(*k.shape[:3], -1, k.shape[3]), 3) for x in (dk, dv))
    return (form.scale * dq).astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype)


def _tiled(q, k, backend: str) -> Tiles:
    """Blocks of 64 queries and 64 keys, 32 if numbers have 4 bytes: three of them fit on chip."""
    (B, T, H, K), (S, G) = q.shape, k.shape[1:3]
    rows = 128 // q.dtype.itemsize
    queries, keys = (min(rows, max(16, power_of_2(n))) for n in (T, S))
    return Tiles(B, T, S, H, G, K, queries, keys, backend)


def _numbers(tokens: Tokens, form: Form, tiles: Tiles):
    """Arrays and blocks with the numbers of all tokens: queries are columns and keys rows."""
    program = lambda n: split(n, tiles.B, tiles.H)
    query = query_numbers(tokens, tiles.T, tiles.queries)
    key = key_numbers(tokens, tiles.S, tiles.keys).swapaxes(1, 2)
    arrays, blocks = steering(tokens, form, tiles, program, over="queries")
    return [query, key, *arrays], [all_of_row(query, program), all_of_row(key, program), *blocks]


def _options(tiles: Tiles) -> dict:
    """Eight warps: the backward pass needs their registers for the sums of dk and dv."""
    return {"grid": (tiles.B * tiles.H,), "backend": tiles.backend, "warps": 8, "stages": 1}


def _heads(tiles: Tiles) -> list[Block]:
    """Blocks of q, k and v: all tokens of the head of a program."""

    def of_keys(n):
        b, h = split(n, tiles.B, tiles.H)
        return b, jax.lax.div(h, jnp.int32(tiles.H // tiles.G)), 0

    of_queries = lambda n: (*split(n, tiles.B, tiles.H), 0)
    return [tiles.head(tiles.whole_T, of_queries), *[tiles.head(tiles.whole_S, of_keys)] * 2]


def _a_column(tiles: Tiles) -> jax.ShapeDtypeStruct:
    """A number of each query, [B, H, T', 1]."""
    return jax.ShapeDtypeStruct((tiles.B, tiles.H, tiles.whole_T, 1), jnp.float32)


def _column_block(tiles: Tiles) -> Block:
    index = lambda n: (*split(n, tiles.B, tiles.H), 0, 0)
    return Block((None, None, tiles.whole_T, 1), index)
