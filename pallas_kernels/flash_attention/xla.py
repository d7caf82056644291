"""Attention by blocks of jax.numpy, whose memory grows with T + S instead of T S.

Only the logits of one block of queries and keys are materialised at a time. Blocks without a
visible key are skipped, which halves the work of causal self-attention. For each query, the loop
over blocks accumulates the largest logit m, the sum l of e^(logit - m), and the sum o of
e^(logit - m) v:

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

from pallas_kernels.flash_attention.mask import Form, Tokens, within_lengths
from pallas_kernels.flash_attention.reference import reference
from pallas_kernels.soft_cap import soft_cap

LEAST = float(jnp.finfo(jnp.float32).min)
NEVER = jnp.iinfo(jnp.int32).max  # position of padded keys; as a window, unlimited
BLOCK = {"cpu": 128, "gpu": 1024, "tpu": 1024}
product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def block_size() -> int:
    """Positions per block: few enough for the caches of a core, enough to fill an accelerator."""
    return BLOCK[jax.default_backend()]


def xla(q_BTHK, k_BSGK, v_BSGK, tokens: Tokens, form: Form, bias_BHTS=None):
    """`blockwise`, or the reference if the queries or the keys fit one block.

    Blocks are larger if the batch has few rows and heads, so that each block does the same work.
    Forward-mode differentiation (`jax.jvp`, `jax.hessian`) works only for one block.
    Raises NotImplementedError for a bias.
    """
    (B, T, H, _), S, size = q_BTHK.shape, k_BSGK.shape[1], block_size()
    if bias_BHTS is not None:
        raise NotImplementedError("xla adds no bias array; the reference does")
    if min(T, S) <= size:
        return reference(q_BTHK, k_BSGK, v_BSGK, tokens, form)
    rows = max(size, min(4 * size, 32 * size // (B * H)))
    return blockwise(q_BTHK, k_BSGK, v_BSGK, tokens, form, (rows, min(2 * size, rows)))


def blockwise(q_BTHK, k_BSGK, v_BSGK, tokens: Tokens, form: Form, blocks: tuple[int, int]):
    """Values and log-sum-exp; positions may have any order.

    blocks: number of queries and number of keys per block.
    Only reverse-mode differentiation is defined, by a custom backward pass.
    """
    (B, T, H, K), (_, S, G, _) = q_BTHK.shape, k_BSGK.shape
    rows, keys = min(blocks[0], T), min(blocks[1], S)
    tokens = tokens.placed(q_BTHK, k_BSGK)
    k_BSGK, v_BSGK = within_lengths(k_BSGK, tokens), within_lengths(v_BSGK, tokens)
    q, k, v = _whole(q_BTHK, rows), _whole(k_BSGK, keys), _whole(v_BSGK, keys)
    q = q.reshape(B, -1, G, H // G, K).transpose(0, 2, 3, 1, 4)
    inputs = _Inputs(q, k.swapaxes(1, 2), v.swapaxes(1, 2))
    out_BGRTK, lse_BGRT = _attention(inputs, _padded(tokens, rows, keys), form, rows, keys)
    out_BTHK = out_BGRTK.transpose(0, 3, 1, 2, 4).reshape(B, -1, H, K)[:, :T]
    return out_BTHK, lse_BGRT.reshape(B, H, -1)[:, :, :T]


def _padded(tokens: Tokens, rows: int, keys: int) -> Tokens:
    """Tokens padded to whole blocks; keys behind the row's length are at `NEVER`."""
    key_BS = tokens.key_BS
    if tokens.lengths_B is not None:
        kept_BS = jnp.arange(key_BS.shape[1])[None] < tokens.lengths_B[:, None]
        key_BS = jnp.where(kept_BS, key_BS, NEVER)
    q_segments_BT, k_segments_BS = tokens.q_segments_BT, tokens.k_segments_BS
    if q_segments_BT is not None:
        q_segments_BT, k_segments_BS = _whole(q_segments_BT, rows), _whole(k_segments_BS, keys)
    return tokens._replace(
        query_BT=_whole(tokens.query_BT, rows, -1),
        key_BS=_whole(key_BS, keys, NEVER),
        q_segments_BT=q_segments_BT,
        k_segments_BS=k_segments_BS,
    )


def _streamed(q_BGRTK, tokens: Tokens, form: Form, block: Callable, size: int):
    """Attention of the queries over all keys, and m + log(l), both float32.

    block: j -> (k_BGSK, v_BGSK), the `size` keys and values of block j. It is not called for blocks
    without a visible key.
    """

    def add(j, tokens, carry):
        o, m, l = carry
        k_BGSK, v_BGSK = block(j)
        logits, _, visible = _logits(q_BGRTK, k_BGSK, tokens, form)
        m_new = jnp.maximum(m, jnp.max(jnp.where(visible, logits, LEAST), -1))
        p = jnp.where(visible, jnp.exp(logits - m_new[..., None]), 0)
        shrink = jnp.exp(m - m_new)
        o = o * shrink[..., None] + product("BGRTS,BGSK->BGRTK", p.astype(v_BGSK.dtype), v_BGSK)
        return o, m_new, l * shrink + jnp.sum(p, -1)

    zeros = jnp.zeros(q_BGRTK.shape[:-1])
    start = (jnp.zeros(q_BGRTK.shape), zeros + LEAST, zeros)
    o, m, l = _over_blocks(add, tokens, form, size, start)
    l = jnp.maximum(l, 1e-30)
    return o / l[..., None], m + jnp.log(l)


class _Inputs(NamedTuple):
    """Queries, keys and values, or their cotangents."""

    q_BGRTK: jax.Array
    k_BGSK: jax.Array
    v_BGSK: jax.Array


class _Residuals(NamedTuple):
    """Values that the backward pass reads."""

    inputs: _Inputs
    tokens: Tokens
    out_BGRTK: jax.Array
    log_sum: jax.Array
    """m + log(l) of each row, by block of queries [N, B, G, R, rows]"""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _attention(*args):
    return _forward(*args)[0]


def _forward(inputs: _Inputs, tokens: Tokens, form: Form, rows: int, keys: int):
    q_BGRTK, k_BGSK, v_BGSK = inputs
    block = lambda j: (_part(k_BGSK, j, keys), _part(v_BGSK, j, keys))

    def block_of_rows(i):
        q = _part(q_BGRTK, i, rows)
        out, log_sum = _streamed(q, _of_rows(tokens, i, rows), form, block, keys)
        return out.astype(v_BGSK.dtype), log_sum

    out, log_sum = jax.lax.map(block_of_rows, jnp.arange(q_BGRTK.shape[3] // rows))
    out_BGRTK = _joined(out)
    lse_BGRT = _joined(log_sum[..., None])[..., 0]
    lse_BGRT = jnp.where(lse_BGRT > LEAST / 2, lse_BGRT, -jnp.inf)
    return (out_BGRTK, lse_BGRT), _Residuals(inputs, tokens, out_BGRTK, log_sum)


def _backward(form: Form, rows: int, keys: int, residuals: _Residuals, cotangents):
    q_BGRTK, k_BGSK, v_BGSK = residuals.inputs
    d_BGRTK, d_lse_BGRT = cotangents
    log_sum = residuals.log_sum
    delta_BGRT = product("BGRTK,BGRTK->BGRT", d_BGRTK, residuals.out_BGRTK) - d_lse_BGRT
    delta_BGRT1 = delta_BGRT[..., None]

    def block_of_rows(carry, i):
        q, d, delta = (_part(x, i, rows) for x in (q_BGRTK, d_BGRTK, delta_BGRT1))

        def add(j, tokens, carry):
            dq, dk, dv = carry
            k, v = _part(k_BGSK, j, keys), _part(v_BGSK, j, keys)
            logits, slope, visible = _logits(q, k, tokens, form)
            p = jnp.where(visible, jnp.exp(logits - log_sum[i][..., None]), 0)
            ds = (p * (product("BGRTK,BGSK->BGRTS", d, v) - delta) * slope).astype(q.dtype)
            dk = _added(dk, product("BGRTS,BGRTK->BGSK", ds, q), j, keys)
            dv = _added(dv, product("BGRTS,BGRTK->BGSK", p.astype(d.dtype), d), j, keys)
            return dq + product("BGRTS,BGSK->BGRTK", ds, k), dk, dv

        start = (jnp.zeros(q.shape), *carry)
        tokens = _of_rows(residuals.tokens, i, rows)
        dq, dk, dv = _over_blocks(add, tokens, form, keys, start)
        return (dk, dv), dq.astype(q.dtype)

    zeros = jnp.zeros(k_BGSK.shape)
    (dk, dv), dq = jax.lax.scan(block_of_rows, (zeros, zeros), jnp.arange(len(log_sum)))
    return _Inputs(_joined(dq), dk.astype(k_BGSK.dtype), dv.astype(v_BGSK.dtype)), None


_attention.defvjp(_forward, _backward)


def _over_blocks(add: Callable, tokens: Tokens, form: Form, size: int, carry):
    """The carry after `add(j, tokens of block j, carry)` for each block j with a visible key."""
    query_BT = tokens.query_BT
    first, last = jnp.min(jnp.where(query_BT < 0, NEVER, query_BT)), jnp.max(query_BT)

    def step(carry, j):
        block = _of_keys(tokens, j, size)
        key = block.key_BS
        newest = jnp.max(jnp.where(key == NEVER, -1, key))
        if form.causal:
            some = (jnp.min(key) <= last) & (newest > first - _window(tokens))
        else:
            some = newest >= 0
        if tokens.q_segments_BT is not None:
            query, key = tokens.q_segments_BT, block.k_segments_BS
            some &= (jnp.min(key) <= jnp.max(query)) & (jnp.max(key) >= jnp.min(query))
        return jax.lax.cond(some, add, lambda j, block, carry: carry, j, block, carry), None

    return jax.lax.scan(step, carry, jnp.arange(tokens.key_BS.shape[1] // size))[0]


def _logits(q_BGRTK, k_BGSK, tokens: Tokens, form: Form):
    """Float32 logits of a block, their derivative by q k^T, and a mask of the visible keys."""
    B, G, R, T, _ = q_BGRTK.shape
    logits = soft_cap(product("BGRTK,BGSK->BGRTS", q_BGRTK, k_BGSK) * form.scale, form.cap)
    slope = form.scale
    if form.cap is not None:
        slope = form.scale * (1 - jnp.square(logits / form.cap))
    query, key = tokens.query_BT[:, :, None], tokens.key_BS[:, None, :]
    if tokens.slopes_H is not None:
        lines_1GR11 = tokens.slopes_H.reshape(1, G, R, 1, 1)
        logits -= lines_1GR11 * jnp.abs(query - key)[:, None, None]
    return logits, slope, _visible(tokens, form)[:, None, None]


def _visible(tokens: Tokens, form: Form):
    """True if the query may attend to the key; a padded key is at `NEVER`."""
    query, key = tokens.query_BT[:, :, None], tokens.key_BS[:, None, :]
    if form.causal:
        mask = (key <= query) & (key > query - _window(tokens))
    else:
        mask = jnp.broadcast_to(key != NEVER, jnp.broadcast_shapes(query.shape, key.shape))
    if tokens.q_segments_BT is not None:
        mask &= tokens.q_segments_BT[:, :, None] == tokens.k_segments_BS[:, None, :]
    return mask


def _window(tokens: Tokens):
    return NEVER if tokens.window is None else tokens.window


def _of_rows(tokens: Tokens, i, rows: int) -> Tokens:
    """Tokens with the queries of block i only."""
    query, segments = (
        x if x is None else _part(x, i, rows, -1) for x in (tokens.query_BT, tokens.q_segments_BT)
    )
    return tokens._replace(query_BT=query, q_segments_BT=segments)


def _of_keys(tokens: Tokens, j, keys: int) -> Tokens:
    """Tokens with the keys of block j only."""
    key, segments = (
        x if x is None else _part(x, j, keys, -1) for x in (tokens.key_BS, tokens.k_segments_BS)
    )
    return tokens._replace(key_BS=key, k_segments_BS=segments)


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
