"""FlashAttention-3 forward (Shah et al. 2024, arXiv:2407.08608): a Hopper's units work at once.

The recurrence is that of `v2.py`. A program has 128 queries and three warpgroups of 128 threads:

- The producer copies blocks of keys and values to shared memory by TMA, a unit that fetches whole
  tiles by itself. It runs STAGES blocks ahead and gives most of its registers away.
- Two consumers have 64 queries each. They read a block when its barrier says that it is `ready`,
  and tell the producer by another that it is `free`. Products run on the tensor cores by wgmma,
  asynchronously and straight from shared memory; the weights p come from registers.
- The consumers take turns (ping-pong): while one computes exponentials, the other has the tensor
  cores. At K = 128 a block's exponentials take half as long as its products, and would be idle time
  of the tensor cores in `v2.py`.

    consumer 0   q k^T | softmax     | p v, q k^T | softmax     | p v ...
    consumer 1         | q k^T       | softmax    | p v, q k^T  | softmax ...

A block has as many keys as the program has queries, so both consumers of a causal program need the
same blocks, and only the last of them needs the mask.

This kernel is for whole tiles: 16-bit numbers, heads of 64 or 128, T and S multiples of 128, tokens
in order, causal or not; anything else runs `v2.py`, and so does the backward pass. Written for
`plgpu.kernel`, the interface of Mosaic GPU that stays when Pallas drops Triton. Its interpreter
runs warpgroups as threads that wait for each other: set JAX_CPU_ENABLE_ASYNC_DISPATCH=0 and give
it two cores, otherwise it can wait for ever. It finds no race: a slot is released after the wgmma
that reads it has completed, since reading an accumulator and leaving `run_state` wait for it.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels.choice import require_hopper
from pallas_kernels.flash_attention import v2
from pallas_kernels.flash_attention.mask import Form, Tokens
from pallas_kernels.flash_attention.tiles import LOG2_E

CONSUMERS, ROWS = 2, 64  # warpgroups that compute, and queries of each: the rows of a wgmma
BLOCK = CONSUMERS * ROWS  # queries of a program, and keys of a block
STAGES = 2  # blocks of keys and values in shared memory: 128 KiB of 227 at K = 128
REGISTERS = {"consumer": 232, "producer": 40}  # of a thread; 64 Ki for the 384 threads of a program
WIDTHS = (64, 128)


def check(q, k, tokens: Tokens, form: Form, backend: str):
    """Raises NotImplementedError for calls that this kernel does not cover."""
    (_, T, _, K), S = q.shape, k.shape[1]
    require_hopper()
    if form.cap is not None or any(x is not None for x in tokens):
        raise NotImplementedError("mosaic covers causal=True or False, without other options")
    if q.dtype.itemsize != 2 or K not in WIDTHS or T % BLOCK or S % BLOCK:
        raise NotImplementedError(
            f"mosaic covers 16-bit heads of {WIDTHS} numbers and multiples of {BLOCK} tokens, not "
            f"{q.dtype} [{T}, {K}] and [{S}, {K}]"
        )
    if backend.endswith("interpreted") and not hasattr(plgpu, "InterpretGPUParams"):
        raise NotImplementedError("the interpreter of Mosaic GPU came with jax 0.11")


def forward(q, k, v, tokens: Tokens, form: Form, backend: str):
    """Values [B, T, H, K], and log-sum-exp [B, H, T] in float32."""
    (B, T, H, K), (S, G) = q.shape, k.shape[1:3]
    blocks, interpreted = S // BLOCK, backend.endswith("interpreted")

    def flash_attention_v3(*references):
        q, k, v, out, lse, *scratch = references
        row, head, tile = (jax.lax.axis_index(name) for name in ("row", "head", "tile"))
        group = jax.lax.div(head, jnp.int32(H // G))
        # blocks before `full` are visible as a whole
        full, last = blocks, blocks
        if form.causal:
            full, last = jnp.minimum(tile, blocks), jnp.minimum(tile + 1, blocks)
        me = jax.lax.axis_index("warpgroup")

        @pl.when(me == CONSUMERS)
        def _():
            plgpu.set_max_registers(REGISTERS["producer"], action="decrease")
            produce(k.at[row, :, group], v.at[row, :, group], last, *scratch[1:])

        @pl.when(me < CONSUMERS)
        def _():
            plgpu.set_max_registers(REGISTERS["consumer"], action="increase")
            start = tile * BLOCK + me * ROWS
            mine = pl.ds(start, ROWS)
            tiles = (q.at[row, mine, head], out.at[row, mine, head], lse.at[row, head, mine])
            consume(me, start, tiles, form, full, last, interpreted, *scratch)

    swizzled = {"transforms": (plgpu.TilingTransform((8, 64)), plgpu.SwizzleTransform(128))}
    barrier = lambda n, arrivals=1: plgpu.Barrier(num_arrivals=arrivals, num_barriers=n)
    return plgpu.kernel(
        flash_attention_v3,
        out_type=(
            jax.ShapeDtypeStruct(q.shape, v.dtype),
            jax.ShapeDtypeStruct((B, H, T), jnp.float32),
        ),
        scratch_types=[
            (
                plgpu.SMEM((CONSUMERS, ROWS, K), q.dtype, **swizzled),
                plgpu.SMEM((CONSUMERS, ROWS), jnp.float32),
                barrier(CONSUMERS),
                barrier(1, CONSUMERS),
            ),
            *[plgpu.SMEM((STAGES, BLOCK, K), q.dtype, **swizzled)] * 2,
            *[barrier(STAGES)] * 2,
            *[barrier(STAGES, CONSUMERS)] * 2,
        ],
        grid=(H, T // BLOCK, B),
        grid_names=("head", "tile", "row"),
        num_threads=CONSUMERS + 1,
        thread_name="warpgroup",
        compiler_params=plgpu.CompilerParams(approx_math=True),
        interpret=plgpu.InterpretGPUParams(detect_races=True) if interpreted else None,
    )(q, k, v)


def backward(residuals, d_out, d_lse, form: Form, backend: str):
    """Cotangents of q, k and v, by Triton."""
    q, k, v, tokens, *results = residuals
    residuals = (q, k, v, tokens.placed(q, k), *results)
    return v2.backward(residuals, d_out, d_lse, form, backend.replace("mosaic", "triton"))


def produce(k, v, last, k_smem, v_smem, k_ready, v_ready, k_free, v_free):
    """Copies blocks 0 .. last - 1 of k and v to shared memory, in a ring of STAGES slots."""

    def copy(j, _):
        slot = jax.lax.rem(j, jnp.int32(STAGES))
        block = pl.ds(j * BLOCK, BLOCK)
        for source, ring, ready, free in (
            (k, k_smem, k_ready, k_free),
            (v, v_smem, v_ready, v_free),
        ):

            @pl.when(j >= STAGES)
            def _(free=free):
                plgpu.barrier_wait(free.at[slot])

            plgpu.copy_gmem_to_smem(source.at[block], ring.at[slot], ready.at[slot])

    jax.lax.fori_loop(0, last, copy, None)


def consume(me, start, tiles, form: Form, full, last, interpreted: bool, own, *ring):
    """Attention of ROWS queries, from position `start` on, over the blocks of the producer."""
    q, out, lse = tiles
    tile_smem, lse_smem, q_ready, turn = own
    k_smem, v_smem, k_ready, v_ready, k_free, v_free = ring
    tile, lse_row, K = tile_smem.at[me], lse_smem.at[me], tile_smem.shape[-1]
    rows = plgpu.Layout.WGMMA.reduce(1)
    wide = lambda x, n: jax.lax.broadcast_in_dim(x, (ROWS, n), [0])

    def swap():
        plgpu.barrier_arrive(turn.at[0])
        plgpu.barrier_wait(turn.at[0])

    def release(free, j):
        """The producer waits for the slot only if it has another block for it."""
        pl.when(j + STAGES < last)(
            lambda: plgpu.barrier_arrive(free.at[jax.lax.rem(j, jnp.int32(STAGES))])
        )

    def step(j, carry, masked: bool):
        o, m, l = carry
        slot = jax.lax.rem(j, jnp.int32(STAGES))
        plgpu.barrier_wait(k_ready.at[slot])

        def product(x):
            plgpu.wgmma(x, tile, k_smem.at[slot].transpose((1, 0)))
            if interpreted:
                _read(k_smem.at[slot])
            return x[...]

        x = pl.run_scoped(product, plgpu.ACC((ROWS, BLOCK), jnp.float32))
        release(k_free, j)
        swap()  # the other consumer has the tensor cores while this one computes p
        if masked:
            index = lambda axis: plgpu.broadcasted_iota(
                jnp.int32, (ROWS, BLOCK), axis, layout=plgpu.Layout.WGMMA
            )
            x = jnp.where(j * BLOCK + index(1) <= start + index(0), x, -jnp.inf)
        x = x * (form.scale * LOG2_E)
        m_new = jnp.maximum(m, jnp.max(x, axis=1))
        p, shrink = jnp.exp2(x - wide(m_new, BLOCK)), jnp.exp2(m - m_new)
        l = l * shrink + jnp.sum(p, axis=1)
        o = o * wide(shrink, K)
        p = p.astype(tile.dtype)
        swap()
        plgpu.barrier_wait(v_ready.at[slot])
        o = _plus_product(o, p, v_smem.at[slot], interpreted)
        release(v_free, j)
        return o, m_new, l

    plgpu.copy_gmem_to_smem(q, tile, q_ready.at[me])
    plgpu.barrier_wait(q_ready.at[me])
    pl.when(me == 1)(swap)
    full_row = lambda x: plgpu.layout_cast(jnp.full((ROWS,), x, jnp.float32), rows)
    o = plgpu.layout_cast(jnp.full((ROWS, K), 0, jnp.float32), plgpu.Layout.WGMMA)
    carry = (o, full_row(-jnp.inf), full_row(0.0))
    carry = jax.lax.fori_loop(0, full, lambda j, carry: step(j, carry, False), carry)
    if form.causal:
        carry = jax.lax.fori_loop(full, last, lambda j, carry: step(j, carry, True), carry)
    o, m, l = carry
    pl.when(me == 0)(swap)

    tile[...] = (o / wide(l, K)).astype(tile.dtype)
    lse_row[...] = m / LOG2_E + jnp.log(l)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(tile, out)
    plgpu.copy_smem_to_gmem(lse_row, lse)
    plgpu.wait_smem_to_gmem(0)


def _plus_product(o, p, v, interpreted: bool):
    """o + p v by a wgmma that takes p from registers; the interpreter of jax 0.11 has none."""
    if interpreted:
        return o + jnp.dot(p, _read(v), preferred_element_type=jnp.float32)
    return pl.run_state(lambda o: plgpu.wgmma(o, p, v))(plgpu.ACC.init(o))


def _read(block):
    """The block as an array, beside or for wgmma, whose reads the interpreter of jax 0.11 ignores.

    It orders an array's read before a later write by TMA only after `commit_smem`, a fence between
    the two; wgmma reads shared memory by the way of TMA and needs the barrier alone.
    """
    value = block[...]
    plgpu.commit_smem()
    return value
