import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.attention import attention, causal_mask, sliding_window_mask

POSITION = jnp.arange(6)[None, :]
run = jax.jit(attention)


def inputs(seed, B=2, T=6, H=4, G=2, K=8):
    draw = np.random.default_rng(seed).normal
    return tuple(draw(size=(B, T, n, K)).astype(np.float32) for n in (H, G, G))


def by_hand(q, k, v, mask):
    out = np.zeros_like(q)
    for b, t, h in np.ndindex(q.shape[:3]):
        g = h // (q.shape[2] // k.shape[2])
        logits = np.where(
            mask[b % len(mask), t], k[b, :, g] @ q[b, t, h] / np.sqrt(q.shape[3]), -np.inf
        )
        weights = np.exp(logits - logits.max())
        out[b, t, h] = weights / weights.sum() @ v[b, :, g]
    return out


@pytest.mark.parametrize(
    "mask",
    [causal_mask(POSITION, POSITION), sliding_window_mask(POSITION, POSITION, 2)],
    ids=["causal", "window"],
)
def test_equals_the_definition(mask):
    q, k, v = inputs(0)
    np.testing.assert_allclose(run(q, k, v, mask), by_hand(q, k, v, np.asarray(mask)), atol=1e-6)


@given(st.integers(0, 1000))
def test_weights_are_a_mean(seed):
    q, k, v = inputs(seed)
    out = run(q, k, np.ones_like(v), causal_mask(POSITION, POSITION))
    np.testing.assert_allclose(out, 1, atol=1e-6)


@given(st.permutations(range(6)))
def test_keys_have_no_order(order):
    q, k, v = inputs(0)
    mask = np.ones((1, 6, 6), bool)
    np.testing.assert_allclose(
        run(q, k[:, order], v[:, order], mask), run(q, k, v, mask), atol=1e-6
    )


def test_window_counts_the_query_itself():
    mask = np.asarray(sliding_window_mask(POSITION, POSITION, 2))[0]
    np.testing.assert_array_equal(mask.sum(1), [1, 2, 2, 2, 2, 2])


def test_heads_must_divide():
    q, k, v = map(jnp.asarray, inputs(0, H=4, G=3))
    with pytest.raises(ValueError, match="do not divide"):
        attention(q, k, v, causal_mask(POSITION, POSITION))
