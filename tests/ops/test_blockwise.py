"""Attention in blocks is attention: values, gradients, windows, padding, order of positions, memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.attention import attention, sliding_window_mask
from panorax.ops.blockwise import NEVER, blockwise_attention, causal_attention

SIZES = ((5, 5, 4, 2), (13, 13, 4, 4), (1, 9, 2, 1), (7, 12, 4, 2))  # T, S, H, G
B, K, SCALE = 2, 8, 0.3


@functools.partial(jax.jit, static_argnames=("cap", "blocks"))
def both(q, k, v, d, query, key, window, cap=None, blocks=(4, 3)):
    """(values, gradients) by definition and in blocks."""
    dense = lambda q, k, v: attention(q, k, v, sliding_window_mask(query, key, window), SCALE, cap)
    blocked = lambda q, k, v: blockwise_attention(q, k, v, query, key, window, SCALE, cap, blocks)
    with_gradients = lambda f: (lambda out, back: (out, back(d)))(*jax.vjp(f, q, k, v))
    return with_gradients(dense), with_gradients(blocked)


def inputs(seed, T, S, H, G, dtype=jnp.float32):
    draw = np.random.default_rng(seed).normal
    return tuple(
        jnp.asarray(draw(size=(B, t, n, K)), dtype) for t, n in ((T, H), (S, G), (S, G), (T, H))
    )


def close(pair, tolerance=2e-6):
    for (path, a), b in zip(
        jax.tree.leaves_with_path(pair[0]), jax.tree.leaves(pair[1]), strict=True
    ):
        np.testing.assert_allclose(
            np.float32(b),
            np.float32(a),
            atol=tolerance * max(1, np.abs(np.float32(a)).max()),
            err_msg=str(path),
        )


@given(
    st.sampled_from(SIZES),
    st.sampled_from((NEVER, 3)),
    st.sampled_from((None, 2.0)),
    st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_the_definition(sizes, window, cap, seed):
    T, S, _, _ = sizes
    close(
        both(
            *inputs(seed, *sizes), jnp.arange(S - T, S)[None], jnp.arange(S)[None], window, cap=cap
        )
    )


@given(st.permutations(range(13)), st.integers(0, 1000))
def test_positions_may_come_in_any_order_and_differ_between_rows(order, seed):
    positions = jnp.stack([jnp.arange(13), jnp.array(order)])
    close(both(*inputs(seed, 13, 13, 4, 4), positions, positions, 5))


@pytest.mark.parametrize("blocks", [(1, 1), (4, 3), (13, 5), (64, 64)])
def test_any_size_of_block_will_do(blocks):
    close(
        both(
            *inputs(0, 13, 13, 4, 4),
            jnp.arange(13)[None],
            jnp.arange(13)[None],
            NEVER,
            blocks=blocks,
        )
    )


def test_half_precision_comes_out_as_it_came_in():
    dense, blocked = both(
        *inputs(0, 13, 13, 4, 4, jnp.bfloat16), jnp.arange(13)[None], jnp.arange(13)[None], NEVER
    )
    assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(blocked))
    close((dense, blocked), 0.03)


def test_a_query_that_sees_nothing_gets_nothing():
    q, k, v, _ = inputs(0, 5, 5, 4, 2)
    out = blockwise_attention(
        q, k, v, jnp.zeros((1, 5), jnp.int32), jnp.arange(1, 6)[None], NEVER, SCALE, blocks=(4, 3)
    )
    np.testing.assert_array_equal(out, np.zeros_like(out))


def test_logits_as_large_as_floats_get_do_no_harm():
    q, k, v, d = inputs(0, 13, 13, 4, 4)
    dense, blocked = both(1e4 * q, 1e4 * k, v, d, jnp.arange(13)[None], jnp.arange(13)[None], NEVER)
    close((dense[0], blocked[0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(blocked))


def test_long_texts_go_in_blocks_and_memory_grows_with_their_length_not_its_square():
    def temporaries(T):
        x = jax.ShapeDtypeStruct((1, T, 2, 8), jnp.float32)
        at = jnp.arange(T)[None]
        loss = lambda q, k, v: jnp.sum(causal_attention(q, k, v, at, at, NEVER))
        return (
            jax.jit(jax.grad(loss, (0, 1, 2)))
            .lower(x, x, x)
            .compile()
            .memory_analysis()
            .temp_size_in_bytes
        )

    short, long = temporaries(1024), temporaries(4096)
    assert long < 5 * short and long < 4096**2


def test_heads_must_divide():
    q, k, v, _ = inputs(0, 5, 5, 4, 3)
    with pytest.raises(ValueError, match="3 key/value heads do not divide 4"):
        blockwise_attention(q, k, v, jnp.arange(5)[None], jnp.arange(5)[None], NEVER, SCALE)
