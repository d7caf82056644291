"""FlashAttention-2 (Dao 2023, arXiv:2307.08691): a program owns a block and writes it once.

Forward, a program for each block of queries. The queries and the sum o stay on chip while the loop
visits blocks of keys; o is divided by l once, at the end:

    x = scale q k^T,    m' = max(m, max_s x_s),    p = e^(x - m')
    o' = e^(m - m') o + p v,    l' = e^(m - m') l + sum_s p_s,    out = o / l,    lse = m + log l

Backward, with p = e^(x - lse), D = sum_k dout out and ds = p (dout v^T - D): two passes, so that no
two programs add to the same sum and no atomics are needed. The first has a program for each block
of keys, which visits the queries of all heads of its group:  dv = p^T dout,  dk = scale ds^T q.
The second has a program for each block of queries:  dq = scale ds k.  p is computed twice; that is
7 products of T S K instead of 5. The first pass computes p^T, so that no product needs a
transposed left operand.

Against v1: T / 128 times as many programs, which fill the machine at batch 1; o, l and m are never
written before they are final; blocks in which all keys are visible skip the mask.
Programs that follow each other share a head, so that its keys stay in the L2 cache of a GPU and in
the VMEM of a TPU. The last queries, which see the most keys of a causal mask, start first.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.flash_attention.mask import Form, Tokens
from pallas_kernels.flash_attention.tiles import (
    LOG2_E,
    Tiles,
    base_2,
    column,
    logits,
    numbers,
    over_blocks,
    row,
    shifts,
)
from pallas_kernels.launch import Block, ceil_div, dot, iota, launch, power_of_2, program_id

VMEM = 96 * 2**20  # bytes that a TPU program may use, of 128 MiB on v5e and v6e


class Blocks(NamedTuple):
    """Tiling of a pass: queries and keys of a block, warps and pipeline stages of a program."""

    queries: int
    keys: int
    warps: int
    stages: int


PASSES = ("forward", "by_keys", "by_queries")
GPU = {
    64: (Blocks(128, 64, 4, 3), Blocks(64, 128, 8, 2), Blocks(128, 64, 8, 2)),
    128: (Blocks(128, 64, 8, 3), Blocks(32, 128, 8, 2), Blocks(128, 32, 8, 2)),
    256: (Blocks(64, 32, 8, 2), Blocks(32, 64, 8, 1), Blocks(64, 32, 8, 1)),
}
"""by the largest head size K, for each pass with 16-bit numbers: the block that stays on chip has
128 rows, two warpgroups of tensor-core work; the block that streams by is as large as registers
and 228 KiB of shared memory allow"""
TPU = Blocks(256, 256, 0, 0)


def check(q, k, tokens: Tokens, form: Form, backend: str):
    """Raises NotImplementedError for heads that the kernels have no room for."""
    (_, T, H, K), (_, S, G, _) = q.shape, k.shape[:4]
    if not backend.startswith("tpu"):
        if K > max(GPU):
            raise NotImplementedError(f"the kernels have heads of at most {max(GPU)}, not {K}")
        return
    # k and v, or q and dout of a group, each twice: the next is copied while the program computes
    whole = 2 * 2 * max(S, H // G * T) * ceil_div(K, 128) * 128 * q.dtype.itemsize
    if whole > 2 / 3 * VMEM:
        raise NotImplementedError(
            f"the kernels keep a group of heads in VMEM: {whole} bytes of {VMEM}, at most 2/3"
        )


def forward(q, k, v, tokens: Tokens, form: Form, backend: str):
    """Values [B, T, H, K], and log-sum-exp [B, H, T] in float32."""
    tiles, options = tiled(q, k, "forward", backend)
    queries, keys, program = tiles.queries, tiles.keys, tiles.query_program

    def body(q, k, v, query, key, bounds, slopes, out, lse):
        _, h, i = program(program_id(0))
        q_block = tiles.load(q, 0, queries, tiles.query_rows(i))
        of_query, slope = column(query, 0, queries), slopes[h, 0]

        def step(j, carry, masked: bool):
            o, m, l = carry
            rows = bounds[i, 4] - j * keys if masked else None
            k_block, v_block = (tiles.load(x, j, keys, rows) for x in (k, v))
            inside = iota((1, keys), 1) < rows if masked else None
            product = dot(q_block, k_block, (1, 1))
            x, _ = logits(product, form, tokens, of_query, row(key, j, keys), slope, inside)
            m_new = jnp.maximum(m, jnp.max(x, 1, keepdims=True))
            top = jnp.where(m_new == -jnp.inf, 0, m_new) if masked else m_new
            p, shrink = jnp.exp2(x - top), jnp.exp2(m - top)
            o = o * shrink + dot(p.astype(v_block.dtype), v_block)
            return o, m_new, l * shrink + jnp.sum(p, 1, keepdims=True)

        zeros = jnp.zeros((queries, 1), jnp.float32)
        start = (jnp.zeros((queries, tiles.width), jnp.float32), zeros - jnp.inf, zeros)
        o, m, l = over_blocks(bounds, i, step, start)
        some = l > 0
        l = jnp.where(some, l, 1)
        tiles.store(out, o / l, tiles.query_rows(i))
        lse[...] = jnp.where(some, m / LOG2_E + jnp.log(l), -jnp.inf)

    arrays, blocks = numbers(tokens, form, tiles, program, over="keys")
    of_block = tiles.head(queries, program)
    column_block = Block((None, None, queries, 1), lambda n: (*program(n), 0))
    out, lse = launch(
        body,
        [*(tiles.placed(x) for x in (q, k, v)), *arrays],
        [
            tiles.output(tiles.H, tiles.T, v.dtype),
            jax.ShapeDtypeStruct((tiles.B, tiles.H, tiles.whole_T, 1), jnp.float32),
        ],
        grid=(tiles.B * tiles.H * tiles.query_blocks,),
        reads=[
            of_block,
            *[tiles.head(tiles.whole_S, tiles.its_group)] * 2,
            *blocks,
        ],
        writes=[of_block, column_block],
        name="flash_attention_v2",
        **options,
    )
    return tiles.placed(out), lse[:, :, : tiles.T, 0]


def backward(residuals, d_out, d_lse, form: Form, backend: str):
    """Cotangents of q, k and v."""
    q, k, v, tokens, out, lse = residuals
    shift, lse = shifts(d_out, out, d_lse), base_2(lse)
    dk, dv = by_keys(q, k, v, d_out, lse, shift, tokens, form, backend)
    return by_queries(q, k, v, d_out, lse, shift, tokens, form, backend), dk, dv


def by_keys(q, k, v, d_out, lse, shift, tokens: Tokens, form: Form, backend: str):
    """Cotangents of k and v: a program for each block of keys."""
    tiles, options = tiled(q, k, "by_keys", backend)
    queries, keys, R = tiles.queries, tiles.keys, tiles.H // tiles.G
    program = tiles.key_program

    def body(q, k, v, d_out, lse, shift, key, query, bounds, slopes, dk, dv):
        _, g, j = program(program_id(0))
        rows = bounds[j, 4] - j * keys
        k_block, v_block = (tiles.load(x, 0, keys, rows) for x in (k, v))
        of_key = column(key, 0, keys)

        def head(r, carry):
            slope = slopes[g * R + r, 0]

            def step(i, carry, masked: bool):
                dk, dv = carry
                valid = tiles.query_rows(i)
                q_block, d_block = (tiles.load(x, i, queries, valid, r) for x in (q, d_out))
                of_query = row(query, i, queries)
                inside = iota((keys, 1), 0) < rows if masked else None
                product = dot(k_block, q_block, (1, 1))
                x, bend = logits(product, form, tokens, of_query, of_key, slope, inside)
                p = jnp.exp2(x - row(lse, i, queries)(r))
                dv += dot(p.astype(d_block.dtype), d_block)
                ds = p * (dot(v_block, d_block, (1, 1)) - row(shift, i, queries)(r))
                ds = ds if bend is None else ds * bend
                return dk + dot(ds.astype(q_block.dtype), q_block), dv

            return over_blocks(bounds, j, step, carry)

        zeros = jnp.zeros((keys, tiles.width), jnp.float32)
        dk_block, dv_block = jax.lax.fori_loop(0, R, head, (zeros, zeros))
        tiles.store(dk, dk_block * form.scale, tiles.key_rows(j))
        tiles.store(dv, dv_block, tiles.key_rows(j))

    arrays, blocks = numbers(tokens, form, tiles, program, over="queries")
    group = lambda n: program(n)[:2]
    row_block = Block((None, None, R, tiles.whole_T), lambda n: (*group(n), 0, 0))
    by_group = lambda x, fill: tiles.padded(x, fill).reshape(tiles.B, tiles.G, R, -1)
    dk, dv = launch(
        body,
        [
            *(tiles.placed(x) for x in (q, k, v, d_out)),
            by_group(lse, jnp.inf),
            by_group(shift, 0),
            *arrays,
        ],
        [tiles.output(tiles.G, tiles.S, x.dtype) for x in (k, v)],
        grid=(tiles.B * tiles.G * tiles.key_blocks,),
        reads=[
            tiles.group(group),
            *[tiles.head(keys, program)] * 2,
            tiles.group(group),
            *[row_block] * 2,
            *blocks,
        ],
        writes=[tiles.head(keys, program)] * 2,
        name="flash_attention_v2_by_keys",
        **options,
    )
    return tiles.placed(dk), tiles.placed(dv)


def by_queries(q, k, v, d_out, lse, shift, tokens: Tokens, form: Form, backend: str):
    """Cotangent of q: a program for each block of queries."""
    tiles, options = tiled(q, k, "by_queries", backend)
    queries, keys, program = tiles.queries, tiles.keys, tiles.query_program

    def body(q, k, v, d_out, lse, shift, query, key, bounds, slopes, dq):
        _, h, i = program(program_id(0))
        valid = tiles.query_rows(i)
        q_block, d_block = (tiles.load(x, 0, queries, valid) for x in (q, d_out))
        of_query, slope = column(query, 0, queries), slopes[h, 0]

        def step(j, dq, masked: bool):
            rows = bounds[i, 4] - j * keys if masked else None
            k_block, v_block = (tiles.load(x, j, keys, rows) for x in (k, v))
            inside = iota((1, keys), 1) < rows if masked else None
            product = dot(q_block, k_block, (1, 1))
            x, bend = logits(product, form, tokens, of_query, row(key, j, keys), slope, inside)
            ds = jnp.exp2(x - lse[...]) * (dot(d_block, v_block, (1, 1)) - shift[...])
            ds = ds if bend is None else ds * bend
            return dq + dot(ds.astype(k_block.dtype), k_block)

        zeros = jnp.zeros((queries, tiles.width), jnp.float32)
        tiles.store(dq, over_blocks(bounds, i, step, zeros) * form.scale, valid)

    arrays, blocks = numbers(tokens, form, tiles, program, over="keys")
    of_block = tiles.head(queries, program)
    column_block = Block((None, None, queries, 1), lambda n: (*program(n), 0))
    [dq] = launch(
        body,
        [
            *(tiles.placed(x) for x in (q, k, v, d_out)),
            tiles.padded(lse, jnp.inf)[..., None],
            tiles.padded(shift, 0)[..., None],
            *arrays,
        ],
        [tiles.output(tiles.H, tiles.T, q.dtype)],
        grid=(tiles.B * tiles.H * tiles.query_blocks,),
        reads=[
            of_block,
            *[tiles.head(tiles.whole_S, tiles.its_group)] * 2,
            of_block,
            *[column_block] * 2,
            *blocks,
        ],
        writes=[of_block],
        name="flash_attention_v2_by_queries",
        **options,
    )
    return tiles.placed(dq)


def tiled(q, k, name: str, backend: str) -> tuple[Tiles, dict]:
    """Sizes of the blocks of a pass, and the options of its launch.

    float32 needs twice the registers and memory, so its blocks are half as large.
    """
    (B, T, H, K), (S, G) = q.shape, k.shape[1:3]
    if backend.startswith("tpu"):
        blocks = TPU
    else:
        blocks = GPU[min(width for width in GPU if width >= K)][PASSES.index(name)]
        part = 2 if q.dtype.itemsize == 4 else 1
        blocks = blocks._replace(queries=blocks.queries // part, keys=blocks.keys // part)
    fewest = 128 if backend.startswith("tpu") else 16
    queries = min(blocks.queries, max(fewest, power_of_2(T)))
    keys = min(blocks.keys, max(fewest, power_of_2(S)))
    options = {"backend": backend, "warps": blocks.warps, "stages": blocks.stages, "vmem": VMEM}
    return Tiles(B, T, S, H, G, K, queries, keys, backend), options
