"""Random permutations are valid and uniform."""

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panorax.ops.permutation import SORTED_AT_ONCE, permutations

SIZES = (1, 2, 3, 7, 256, SORTED_AT_ONCE, SORTED_AT_ONCE + 1)


@settings(max_examples=12, deadline=None)
@given(n=st.sampled_from(SIZES), count=st.sampled_from((1, 3)), seed=st.integers(0, 2**31 - 1))
def test_each_row_is_a_permutation(n, count, seed):
    orders = np.array(permutations(jax.random.key(seed), count, n))
    chex.assert_shape(orders, (count, n))
    chex.assert_type(orders, np.int32)
    np.testing.assert_array_equal(np.sort(orders, 1), np.broadcast_to(np.arange(n), (count, n)))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_all_permutations_are_equally_likely(n):
    orders = np.array(permutations(jax.random.key(0), 24_000, n))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    expected = 24_000 / len(counts)
    assert len(counts) == np.prod(np.arange(1, n + 1))
    # chi-squared with at most 23 degrees of freedom exceeds 50 with probability 1e-3
    assert np.sum((counts - expected) ** 2 / expected) < 50


def test_each_item_is_equally_likely_at_each_position():
    orders = np.array(permutations(jax.random.key(1), 20_000, 64))
    counts = np.stack([np.bincount(orders[:, place], minlength=64) for place in range(64)])
    chi = np.sum((counts - 20_000 / 64) ** 2) / (20_000 / 64)
    assert abs(chi - 63 * 63) < 5 * np.sqrt(2 * 63 * 63)
