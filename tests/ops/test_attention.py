import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.attention import attention, causal_mask, sliding_window_mask
from panorax.testing.tolerances import LAYER, NUMBER, SAME

POSITION = jnp.arange(6)[None, :]
run = jax.jit(attention)


def inputs(seed, B=2, T=6, H=4, G=2, K=8):
    draw = np.random.default_rng(seed).normal
    return tuple(draw(size=(B, T, n, K)).astype(np.float32) for n in (H, G, G))


def definition(q, k, v, mask):
    out = np.zeros_like(q)
    for b, t, h in np.ndindex(q.shape[:3]):
        g = h // (q.shape[2] // k.shape[2])
        logits = k[b, :, g] @ q[b, t, h] / np.sqrt(q.shape[3])
        logits = np.where(mask[b % len(mask), t], logits, -np.inf)
        weights = np.exp(logits - logits.max())
        out[b, t, h] = weights / weights.sum() @ v[b, :, g]
    return out


@pytest.mark.parametrize(
    "mask",
    [causal_mask(POSITION, POSITION), sliding_window_mask(POSITION, POSITION, 2)],
    ids=["causal", "window"],
)
def test_attention_equals_its_definition(mask):
    q, k, v = inputs(0)
    np.testing.assert_allclose(run(q, k, v, mask), definition(q, k, v, np.asarray(mask)), **LAYER)


@given(st.integers(0, 1000))
def test_weights_sum_to_one(seed):
    q, k, v = inputs(seed)
    out = run(q, k, np.ones_like(v), causal_mask(POSITION, POSITION))
    np.testing.assert_allclose(out, 1, **NUMBER)


@given(st.permutations(range(6)))
def test_output_does_not_depend_on_the_order_of_keys(order):
    q, k, v = inputs(0)
    mask = np.ones((1, 6, 6), bool)
    reordered = run(q, k[:, order], v[:, order], mask)
    np.testing.assert_allclose(reordered, run(q, k, v, mask), **SAME)


def test_window_includes_the_query():
    mask = np.asarray(sliding_window_mask(POSITION, POSITION, 2))[0]
    np.testing.assert_array_equal(mask.sum(1), [1, 2, 2, 2, 2, 2])


def test_key_heads_must_divide_query_heads():
    q, k, v = map(jnp.asarray, inputs(0, H=4, G=3))
    with pytest.raises(ValueError, match="do not divide"):
        attention(q, k, v, causal_mask(POSITION, POSITION))
