"""Blockwise causal attention, whose memory grows with T + S instead of T S.

The definition is `panorax.ops.attention.attention` under a causal or sliding-window mask. Only the
logits of one block of queries and keys are materialised at a time. Blocks without a visible key are
skipped, which halves the work of self-attention. For each query, the loop over blocks accumulates
the largest logit m, the sum l of e^(logit - m), and the sum o of e^(logit - m) v:

    m' = max(m, max_s logit_s)
    l' = e^(m - m') l + sum_s e^(logit_s - m')
    o' = e^(m - m') o + sum_s e^(logit_s - m') v_s,        out = o / l

The backward pass stores m + log(l) of each row and recomputes the logits of each block. Internally,
the tokens of a head are contiguous: queries are (B, G, R, T, K), keys and values (B, G, S, K), with
R query heads per key/value head.
Source: Rabe & Staats 2021, arXiv:2112.05682; FlashAttention, Dao et al. 2022, arXiv:2205.14135.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.ops.attention import attention, sliding_window_mask, soft_cap

LEAST = float(jnp.finfo(jnp.float32).min)
NEVER = jnp.iinfo(jnp.int32).max  # position of padded keys; as a window, unlimited
BLOCK = {"cpu": 128, "gpu": 1024, "tpu": 1024}
product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def block_size() -> int:
    """Positions per block: few enough for the caches of a core, enough to fill an accelerator."""
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
    """`blockwise_attention`, or `attention` with a mask if the queries or the keys fit one block.

    Arguments are those of `blockwise_attention`; `scale` is by default 1 / sqrt(K). Blocks are
    larger if the batch has few rows and heads, so that each block does the same work. Forward-mode
    differentiation (`jax.jvp`, `jax.hessian`) works only for one block; use `attention` instead.
    """
    (B, T, H, K), S, size = q_BTHK.shape, k_BSGK.shape[1], block_size()
    qkv = (q_BTHK, k_BSGK, v_BSGK)
    if min(T, S) <= size:
        return attention(*qkv, sliding_window_mask(query_BT, key_BS, window), scale, cap)
    rows = max(size, min(4 * size, 32 * size // (B * H)))
    blocks = (rows, min(2 * size, rows))
    scale = K**-0.5 if scale is None else scale
    return blockwise_attention(*qkv, query_BT, key_BS, window, scale, cap, blocks)


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
    """softmax(scale q k^T) v over the keys in the last `window` positions, the query's included.

    query_BT, key_BS: nonnegative positions in any order. A query without a visible key returns 0.
    cap: soft cap of the logits.  blocks: number of queries and number of keys per block.
    Softmax and sums are float32; the result has the dtype of v. Only reverse-mode differentiation
    is defined, by a custom backward pass. Raises ValueError if G does not divide H.
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
    """Attention of the queries over all keys, and m + log(l), both float32.

    block: j -> (k_BGSK, v_BGSK), the `size` keys and values of block j. It is not called for blocks
    without a visible key.
    """

    def add(j, key_BS, carry):
        o, m, l = carry
        k_BGSK, v_BGSK = block(j)
        logits, visible = _logits(q_BGRTK, k_BGSK, query_BT, key_BS, window, scale, cap)
        m_new = jnp.maximum(m, jnp.max(jnp.where(visible, logits, LEAST), -1))
        p = jnp.where(visible, jnp.exp(logits - m_new[..., None]), 0)
        shrink = jnp.exp(m - m_new)
        o = o * shrink[..., None] + product("BGRTS,BGSK->BGRTK", p.astype(v_BGSK.dtype), v_BGSK)
        return o, m_new, l * shrink + jnp.sum(p, -1)

    zeros = jnp.zeros(q_BGRTK.shape[:-1])
    start = (jnp.zeros(q_BGRTK.shape), zeros + LEAST, zeros)
    o, m, l = _over_blocks(add, query_BT, key_BS, size, window, start)
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

    def block_of_rows(i):
        q, query = _part(q_BGRTK, i, rows), _part(query_BT, i, rows, -1)
        out, log_sum = _streamed(q, query, key_BS, block, keys, window, scale, cap)
        return out.astype(v_BGSK.dtype), log_sum

    out, log_sum = jax.lax.map(block_of_rows, jnp.arange(q_BGRTK.shape[3] // rows))
    out_BGRTK = _joined(out)
    return out_BGRTK, _Residuals(inputs, positions, out_BGRTK, log_sum)


def _backward(scale, cap, rows, keys, residuals: _Residuals, d_BGRTK):
    q_BGRTK, k_BGSK, v_BGSK = residuals.inputs
    query_BT, key_BS, window = residuals.positions
    log_sum = residuals.log_sum
    delta_BGRT1 = product("BGRTK,BGRTK->BGRT", d_BGRTK, residuals.out_BGRTK)[..., None]

    def block_of_rows(carry, i):
        q, d, delta = (_part(x, i, rows) for x in (q_BGRTK, d_BGRTK, delta_BGRT1))
        query = _part(query_BT, i, rows, -1)

        def add(j, key, carry):
            dq, dk, dv = carry
            k, v = _part(k_BGSK, j, keys), _part(v_BGSK, j, keys)
            logits, visible = _logits(q, k, query, key, window, scale, cap)
            p = jnp.where(visible, jnp.exp(logits - log_sum[i][..., None]), 0)
            slope = scale if cap is None else scale * (1 - jnp.square(logits / cap))
            ds = (p * (product("BGRTK,BGSK->BGRTS", d, v) - delta) * slope).astype(q.dtype)
            dk = _added(dk, product("BGRTS,BGRTK->BGSK", ds, q), j, keys)
            dv = _added(dv, product("BGRTS,BGRTK->BGSK", p.astype(d.dtype), d), j, keys)
            return dq + product("BGRTS,BGSK->BGRTK", ds, k), dk, dv

        dq, dk, dv = _over_blocks(add, query, key_BS, keys, window, (jnp.zeros(q.shape), *carry))
        return (dk, dv), dq.astype(q.dtype)

    zeros = jnp.zeros(k_BGSK.shape)
    (dk, dv), dq = jax.lax.scan(block_of_rows, (zeros, zeros), jnp.arange(len(log_sum)))
    return _Inputs(_joined(dq), dk.astype(k_BGSK.dtype), dv.astype(v_BGSK.dtype)), None


_attention.defvjp(_forward, _backward)


def _over_blocks(add: Callable, query_BT, key_BS, size: int, window, carry):
    """The carry after `add(j, key_BS, carry)` for each block j with a visible key."""
    first, last = jnp.min(jnp.where(query_BT < 0, NEVER, query_BT)), jnp.max(query_BT)

    def step(carry, j):
        key = _part(key_BS, j, size, -1)
        newest = jnp.max(jnp.where(key == NEVER, -1, key))
        visible = (jnp.min(key) <= last) & (newest > first - window)
        return jax.lax.cond(visible, add, lambda j, key, carry: carry, j, key, carry), None

    return jax.lax.scan(step, carry, jnp.arange(key_BS.shape[1] // size))[0]


def _logits(q_BGRTK, k_BGSK, query_BT, key_BS, window, scale, cap):
    """Float32 logits of a block, and a mask of the visible keys."""
    visible_BTS = sliding_window_mask(query_BT, key_BS, window)
    logits = product("BGRTK,BGSK->BGRTS", q_BGRTK, k_BGSK) * scale
    return soft_cap(logits, cap), visible_BTS[:, None, None]


def _part(x, i, size: int, axis: int = -2):
    """Slice i * size : (i + 1) * size of the position axis."""
    return jax.lax.dynamic_slice_in_dim(x, i * size, size, axis % x.ndim)


def _added(x, change, i, size: int):
    return jax.lax.dynamic_update_slice_in_dim(x, _part(x, i, size) + change, i * size, x.ndim - 2)


def _joined(x_NBGRTK):
    """Concatenates the N blocks of queries."""
    N, B, G, R, T, K = x_NBGRTK.shape
    return jnp.moveaxis(x_NBGRTK, 0, 3).reshape(B, G, R, N * T, K)


def _whole(x, size: int, fill=0):
    """x with axis 1 padded by `fill` to a multiple of `size`."""
    pads = ((0, 0), (0, -x.shape[1] % size), *((0, 0) for _ in x.shape[2:]))
    return jnp.pad(x, pads, constant_values=fill)
