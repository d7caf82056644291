"""Attention a block of queries and of keys at a time (Rabe & Staats 2021, arXiv:2112.05682; FlashAttention, Dao et al. 2022, arXiv:2205.14135).

The definition is `panorax.ops.attention.attention` under a causal or sliding-window mask. Here the logits of one block exist at a time: memory grows
with T + S instead of T S, and blocks in which nothing may be attended to are passed over, half of them where a text attends to itself. A row of
the softmax is built up as blocks come in, from its largest logit so far m, the sum l of e^(logit - m), and o, the same sum over weighted values:

    m' = max(m, max_s logit_s),   l' = e^(m - m') l + sum_s e^(logit_s - m'),   o' = e^(m - m') o + sum_s e^(logit_s - m') v_s,   out = o / l

The backward pass keeps m + log(l) of each row, and computes the logits of each block again. Inside, a head's tokens lie together: (B, G, R, T, K) and
(B, G, S, K), R query heads to each of G key/value heads.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.ops.attention import attention, sliding_window_mask, soft_cap

LEAST = float(jnp.finfo(jnp.float32).min)
NEVER = jnp.iinfo(jnp.int32).max
BLOCK = {"cpu": 128, "gpu": 1024, "tpu": 1024}
product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def block_size() -> int:
    """Positions in a block: what the caches of a core hold, or enough to fill an accelerator."""
    return BLOCK[jax.default_backend()]


def causal_attention(
    q_BTHK,
    k_BSGK,
    v_BSGK,
    query_BT,
    key_BS,
    window,
    scale: float | None = None,
    cap: float | None = None,
):
    """`blockwise_attention`, or `attention` under its mask where queries or keys fill no more than a block; `scale` is 1 / sqrt(K) unless given.

    Where few heads and rows of a batch are computed at a time, blocks are larger, so that there is as much to do in each.
    """
    (B, T, H, K), S, size = q_BTHK.shape, k_BSGK.shape[1], block_size()
    if min(T, S) <= size:
        return attention(
            q_BTHK, k_BSGK, v_BSGK, sliding_window_mask(query_BT, key_BS, window), scale, cap
        )
    rows = max(size, min(4 * size, 32 * size // (B * H)))
    blocks = (rows, min(2 * size, rows))
    return blockwise_attention(
        q_BTHK,
        k_BSGK,
        v_BSGK,
        query_BT,
        key_BS,
        window,
        K**-0.5 if scale is None else scale,
        cap,
        blocks,
    )


def blockwise_attention(
    q_BTHK: Float[Array, "B T H K"],
    k_BSGK: Float[Array, "B S G K"],
    v_BSGK: Float[Array, "B S G K"],
    query_BT: Int[Array, "#B T"],
    key_BS: Int[Array, "#B S"],
    window: int | Int[Array, ""],
    scale: float,
    cap: float | None = None,
    blocks: tuple[int, int] = (64, 64),
) -> Float[Array, "B T H K"]:
    """softmax(scale q k^T) v over the keys whose positions are at most the query's and among the `window` that end there.

    Positions are not negative, and in any order; a query that sees no key gets 0. `cap` as in `attention`; `blocks` are the numbers of queries and of
    keys in a block. Float32 inside, out in the dtype of v. Reverse mode only, for it has its own backward pass. Raises ValueError where G does not divide H.
    """
    (B, T, H, K), (_, S, G, _) = q_BTHK.shape, k_BSGK.shape
    if H % G:
        raise ValueError(f"{G} key/value heads do not divide {H} query heads")
    rows, keys = min(blocks[0], T), min(blocks[1], S)
    q, k, v = _whole(q_BTHK, rows), _whole(k_BSGK, keys), _whole(v_BSGK, keys)
    q = q.reshape(B, -1, G, H // G, K).transpose(0, 2, 3, 1, 4)
    inputs = _Inputs(q, k.swapaxes(1, 2), v.swapaxes(1, 2))
    positions = _Positions(_whole(query_BT, rows, -1), _whole(key_BS, keys, NEVER), window)
    out_BGRTK = _attention(inputs, positions, scale, cap, rows, keys)
    return out_BGRTK.transpose(0, 3, 1, 2, 4).reshape(B, -1, H, K)[:, :T]


def _streamed(
    q_BGRTK: Float[Array, "B G R T K"],
    query_BT: Int[Array, "#B T"],
    key_BS: Int[Array, "#B S"],
    block: Callable,
    size: int,
    window: int | Int[Array, ""],
    scale: float,
    cap: float | None = None,
) -> tuple[Float[Array, "B G R T K"], Float[Array, "B G R T"]]:
    """What these queries get from all keys, and m + log(l), both float32.

    `block(j) -> (k_BGSK, v_BGSK)` reads the keys and values of block j, `size` positions in a row; a block that no query sees is not read.
    """

    def add(j, key_BS, carry):
        o, m, l = carry
        k_BGSK, v_BGSK = block(j)
        logits, seen = _logits(q_BGRTK, k_BGSK, query_BT, key_BS, window, scale, cap)
        after = jnp.maximum(m, jnp.max(jnp.where(seen, logits, LEAST), -1))
        p = jnp.where(seen, jnp.exp(logits - after[..., None]), 0)
        shrink = jnp.exp(m - after)
        o = o * shrink[..., None] + product("BGRTS,BGSK->BGRTK", p.astype(v_BGSK.dtype), v_BGSK)
        return o, after, l * shrink + jnp.sum(p, -1)

    zeros = jnp.zeros(q_BGRTK.shape[:-1])
    o, m, l = _over_blocks(
        add, query_BT, key_BS, size, window, (jnp.zeros(q_BGRTK.shape), zeros + LEAST, zeros)
    )
    l = jnp.maximum(l, 1e-30)
    return o / l[..., None], m + jnp.log(l)


class _Inputs(NamedTuple):
    """Queries, keys and values, or their cotangents."""

    q_BGRTK: Float[Array, "B G R T K"]
    k_BGSK: Float[Array, "B G S K"]
    v_BGSK: Float[Array, "B G S K"]


class _Positions(NamedTuple):
    """Positions of queries and keys, and the size of the sliding window."""

    query_BT: Int[Array, "#B T"]
    key_BS: Int[Array, "#B S"]
    window: int | Int[Array, ""]


class _Residuals(NamedTuple):
    """Values that the backward pass reads."""

    inputs: _Inputs
    positions: _Positions
    out_BGRTK: Float[Array, "B G R T K"]
    log_sum: Float[Array, "N B G R rows"]
    """m + log(l) of each row, by block of queries"""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _attention(*args):
    return _forward(*args)[0]


def _forward(inputs: _Inputs, positions: _Positions, scale, cap, rows, keys):
    q_BGRTK, k_BGSK, v_BGSK = inputs
    query_BT, key_BS, window = positions
    block = lambda j: (_part(k_BGSK, j, keys), _part(v_BGSK, j, keys))

    def of_rows(i):
        out, log_sum = _streamed(
            _part(q_BGRTK, i, rows),
            _part(query_BT, i, rows, -1),
            key_BS,
            block,
            keys,
            window,
            scale,
            cap,
        )
        return out.astype(v_BGSK.dtype), log_sum

    out, log_sum = jax.lax.map(of_rows, jnp.arange(q_BGRTK.shape[3] // rows))
    out_BGRTK = _joined(out)
    return out_BGRTK, _Residuals(inputs, positions, out_BGRTK, log_sum)


def _backward(scale, cap, rows, keys, kept: _Residuals, d_BGRTK):
    q_BGRTK, k_BGSK, v_BGSK = kept.inputs
    query_BT, key_BS, window = kept.positions
    log_sum = kept.log_sum
    through_BGRT1 = product("BGRTK,BGRTK->BGRT", d_BGRTK, kept.out_BGRTK)[..., None]

    def of_rows(carry, i):
        q, d, through = (_part(x, i, rows) for x in (q_BGRTK, d_BGRTK, through_BGRT1))
        query = _part(query_BT, i, rows, -1)

        def add(j, key, carry):
            dq, dk, dv = carry
            k, v = _part(k_BGSK, j, keys), _part(v_BGSK, j, keys)
            logits, seen = _logits(q, k, query, key, window, scale, cap)
            p = jnp.where(seen, jnp.exp(logits - log_sum[i][..., None]), 0)
            slope = scale if cap is None else scale * (1 - jnp.square(logits / cap))
            ds = (p * (product("BGRTK,BGSK->BGRTS", d, v) - through) * slope).astype(q.dtype)
            dk = _added(dk, product("BGRTS,BGRTK->BGSK", ds, q), j, keys)
            dv = _added(dv, product("BGRTS,BGRTK->BGSK", p.astype(d.dtype), d), j, keys)
            return dq + product("BGRTS,BGSK->BGRTK", ds, k), dk, dv

        dq, dk, dv = _over_blocks(add, query, key_BS, keys, window, (jnp.zeros(q.shape), *carry))
        return (dk, dv), dq.astype(q.dtype)

    zeros = jnp.zeros(k_BGSK.shape)
    (dk, dv), dq = jax.lax.scan(of_rows, (zeros, zeros), jnp.arange(len(log_sum)))
    return _Inputs(_joined(dq), dk.astype(k_BGSK.dtype), dv.astype(v_BGSK.dtype)), None


_attention.defvjp(_forward, _backward)


def _over_blocks(add: Callable, query_BT, key_BS, size: int, window, carry):
    """`carry` after `add(j, key_BS, carry)` for each block j of keys that some query may see."""
    first, last = jnp.min(jnp.where(query_BT < 0, NEVER, query_BT)), jnp.max(query_BT)

    def turn(carry, j):
        key = _part(key_BS, j, size, -1)
        visible = (jnp.min(key) <= last) & (
            jnp.max(jnp.where(key == NEVER, -1, key)) > first - window
        )
        return jax.lax.cond(visible, add, lambda j, key, carry: carry, j, key, carry), None

    return jax.lax.scan(turn, carry, jnp.arange(key_BS.shape[1] // size))[0]


def _logits(q_BGRTK, k_BGSK, query_BT, key_BS, window, scale, cap):
    """Logits of a block, float32, and which of them count."""
    seen_BTS = sliding_window_mask(query_BT, key_BS, window)
    return soft_cap(product("BGRTK,BGSK->BGRTS", q_BGRTK, k_BGSK) * scale, cap), seen_BTS[
        :, None, None
    ]


def _part(x, i, size: int, axis: int = -2):
    """Elements i size to before (i + 1) size of the axis of positions."""
    return jax.lax.dynamic_slice_in_dim(x, i * size, size, axis % x.ndim)


def _added(x, change, i, size: int):
    return jax.lax.dynamic_update_slice_in_dim(x, _part(x, i, size) + change, i * size, x.ndim - 2)


def _joined(x_NBGRTK):
    """Blocks of queries side by side again."""
    N, B, G, R, T, K = x_NBGRTK.shape
    return jnp.moveaxis(x_NBGRTK, 0, 3).reshape(B, G, R, N * T, K)


def _whole(x, size: int, fill=0):
    """Axis 1 filled up to a multiple of `size`."""
    return jnp.pad(
        x, ((0, 0), (0, -x.shape[1] % size), *((0, 0) for _ in x.shape[2:])), constant_values=fill
    )
