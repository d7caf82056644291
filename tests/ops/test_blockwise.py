"""Blockwise attention equals attention in values and gradients, with less memory."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pallas_kernels.flash_attention.mask import Form, Tokens
from pallas_kernels.flash_attention.xla import blockwise
from panorax.ops.attention import attention, distance_bias, sliding_window_mask
from panorax.ops.blockwise import BLOCK, NEVER, causal_attention
from panorax.testing.tolerances import LAYER, NUMBER

SIZES = ((5, 5, 4, 2), (13, 13, 4, 4), (1, 9, 2, 1), (7, 12, 4, 2))  # T, S, H, G
RANGE = jnp.arange(13)[None]
B, K, SCALE = 2, 8, 0.3


@functools.partial(jax.jit, static_argnames=("cap", "blocks"))
def both(q, k, v, d, query, key, window, cap=None, blocks=(4, 3)):
    """Values and gradients of `attention` and of the blockwise implementation."""
    tokens, form = Tokens(query, key, window), Form(True, SCALE, cap)
    dense = lambda q, k, v: attention(q, k, v, sliding_window_mask(query, key, window), SCALE, cap)
    blocked = lambda q, k, v: blockwise(q, k, v, tokens, form, blocks)[0]

    def with_gradients(f):
        out, back = jax.vjp(f, q, k, v)
        return out, back(d)

    return with_gradients(dense), with_gradients(blocked)


def inputs(seed, T, S, H, G, dtype=jnp.float32):
    draw = np.random.default_rng(seed).normal
    sizes = ((T, H), (S, G), (S, G), (T, H))
    return tuple(jnp.asarray(draw(size=(B, t, n, K)), dtype) for t, n in sizes)


def assert_close(pair, tolerance=NUMBER["rtol"]):
    """The trees agree within `tolerance`, relative to the largest entry of each leaf if above 1."""
    expected, actual = jax.tree.map(np.float32, pair)
    scales = jax.tree.map(lambda a: max(1, np.abs(a).max()), expected)
    divided = [jax.tree.map(np.divide, tree, scales) for tree in (actual, expected)]
    chex.assert_trees_all_close(*divided, rtol=0, atol=tolerance)


@given(
    st.sampled_from(SIZES),
    st.sampled_from((NEVER, 3)),
    st.sampled_from((None, 2.0)),
    st.integers(0, 1000),
)
def test_values_and_gradients_equal_attention(sizes, window, cap, seed):
    T, S, _, _ = sizes
    query, key = jnp.arange(S - T, S)[None], jnp.arange(S)[None]
    assert_close(both(*inputs(seed, *sizes), query, key, window, cap=cap))


@given(st.permutations(range(13)), st.integers(0, 1000))
def test_positions_may_have_any_order_and_differ_between_rows(order, seed):
    positions = jnp.stack([jnp.arange(13), jnp.array(order)])
    assert_close(both(*inputs(seed, 13, 13, 4, 4), positions, positions, 5))


@pytest.mark.parametrize("blocks", [(1, 1), (4, 3), (13, 5), (64, 64)])
def test_blocks_may_have_any_size(blocks):
    assert_close(both(*inputs(0, 13, 13, 4, 4), RANGE, RANGE, NEVER, blocks=blocks))


def test_half_precision_is_kept():
    dense, blocked = both(*inputs(0, 13, 13, 4, 4, jnp.bfloat16), RANGE, RANGE, NEVER)
    assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(blocked))
    assert_close((dense, blocked), 0.03)


def test_a_query_without_visible_key_returns_zero_and_has_no_gradient():
    query, key = jnp.array([[0, 0, 3, 3, 3]]), jnp.arange(1, 6)[None]
    pair = both(*inputs(0, 5, 5, 4, 2), query, key, NEVER)
    assert_close(pair)
    for out, (dq, dk, dv) in pair:
        np.testing.assert_array_equal(out[:, :2], 0)
        np.testing.assert_array_equal(dq[:, :2], 0)
        assert np.all(np.isfinite(dk)) and np.any(out[:, 2:]) and np.any(dv)


def test_only_attention_of_one_block_has_forward_mode_derivatives(monkeypatch):
    q, k, v, d = inputs(0, 13, 13, 4, 4)
    of_query = lambda q: causal_attention(q, k, v, RANGE, RANGE, NEVER)
    out, tangent = jax.jvp(of_query, (q,), (d,))
    [gradient] = jax.vjp(of_query, q)[1](out)
    np.testing.assert_allclose(jnp.vdot(out, tangent), jnp.vdot(gradient, d), **LAYER)
    monkeypatch.setitem(BLOCK, "cpu", 4)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(of_query, (q,), (d,))


def test_large_logits_give_finite_gradients():
    q, k, v, d = inputs(0, 13, 13, 4, 4)
    dense, blocked = both(1e4 * q, 1e4 * k, v, d, RANGE, RANGE, NEVER)
    assert_close((dense[0], blocked[0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(blocked))


def test_memory_of_long_texts_grows_linearly():
    def temporaries(T):
        x, position = jax.ShapeDtypeStruct((1, T, 2, 8), jnp.float32), jnp.arange(T)[None]
        loss = lambda q, k, v: jnp.sum(causal_attention(q, k, v, position, position, NEVER))
        compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(x, x, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = temporaries(1024), temporaries(4096)
    assert long < 5 * short and long < 4096**2


def test_key_heads_must_divide_query_heads():
    q, k, v, _ = inputs(0, 5, 5, 4, 3)
    with pytest.raises(ValueError, match="3 key/value heads do not divide 4"):
        causal_attention(q, k, v, jnp.arange(5)[None], jnp.arange(5)[None], NEVER)


@pytest.mark.parametrize("slopes", [None, (0.5, 0.25, 0.1, 0.01)])
@pytest.mark.parametrize("window", [3, NEVER])
def test_sinks_are_seen_beyond_the_window(window, slopes):
    """Values and gradients equal attention under the mask of both, with the distances of ALiBi."""
    q, k, v, d = inputs(0, 7, 12, 4, 2)
    query, key, sinks = jnp.arange(5, 12)[None], jnp.arange(12)[None], 2
    slopes_H = slopes and jnp.array(slopes)
    mask = sliding_window_mask(query, key, window) | (key < sinks)[:, None]
    bias = distance_bias(slopes_H, query, key)
    dense = lambda *x: attention(*x, mask, SCALE, None, bias)
    options = {"slopes_H": slopes_H, "sinks": sinks}
    merged = lambda *x: causal_attention(*x, query, key, window, SCALE, **options)
    pairs = [(out, back(d)) for out, back in (jax.vjp(f, q, k, v) for f in (dense, merged))]
    assert_close(pairs, LAYER["atol"])
