import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops.linear_attention import (
    Memory,
    chunked_sums,
    features,
    linear_attention,
    parallel_sums,
)
from panorax.testing.tolerances import LAYER


def recurrent_sums(*arguments):
    return chunked_sums(*arguments, chunk=1)


B, T, H, K, V = 2, 11, 2, 4, 3
RNG = np.random.default_rng(0)
Q, KEYS = jnp.asarray(RNG.normal(size=(2, B, T, H, K)), jnp.float32)
VALUES = jnp.asarray(RNG.normal(size=(B, T, H, V)), jnp.float32)
EMPTY, ALL = jnp.zeros((B, H, K, V)), jnp.full(B, T)


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.5, 0.01)])
def test_parallel_chunked_and_recurrent_sums_are_equal(slopes):
    slopes = jnp.array(slopes)
    parallel = parallel_sums(Q, KEYS, VALUES, slopes)
    recurrent, state = recurrent_sums(Q, KEYS, VALUES, slopes, EMPTY, ALL)
    np.testing.assert_allclose(recurrent, parallel, **LAYER)
    for chunk in (3, 4, 64):
        sums, after = chunked_sums(Q, KEYS, VALUES, slopes, EMPTY, ALL, chunk)
        np.testing.assert_allclose(sums, parallel, **LAYER)
        np.testing.assert_allclose(after, state, **LAYER)


def test_padding_enters_no_state():
    slopes, counted = jnp.array([0.5, 0.01]), jnp.array([0, 5])
    start = jnp.asarray(RNG.normal(size=EMPTY.shape), jnp.float32)
    _, state = chunked_sums(Q, KEYS, VALUES, slopes, start, counted, 3)
    for b, n in enumerate((0, 5)):
        alone = [x[b : b + 1, :n] for x in (Q, KEYS, VALUES)]
        expected = start[b : b + 1]
        if n:
            _, expected = recurrent_sums(*alone, slopes, expected, counted[b : b + 1])
        np.testing.assert_allclose(state[b : b + 1], expected, **LAYER)


def test_weights_are_positive_and_sum_to_one():
    f, h = features(Q), features(KEYS)
    empty = Memory(EMPTY, jnp.zeros((B, H, K, 1)))
    ones = jnp.ones_like(VALUES)
    out, _ = linear_attention(f, h, ones, (f, h), jnp.zeros(H), empty, ALL)
    np.testing.assert_allclose(out, ones, **LAYER)
    assert bool((f > 0).all()) and features(jnp.float16(1)).dtype == np.float32
