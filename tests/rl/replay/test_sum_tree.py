"""Sampling by weight against the cumulative sum of the weights."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.rl.replay import sum_tree
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
update, find = jax.jit(sum_tree.update), jax.jit(sum_tree.find)
weights = st.lists(st.floats(0, 10, width=32).map(lambda w: w if w > 1e-3 else 0.0), min_size=1)


@given(weights.filter(any), st.floats(0, 1, exclude_max=True))
def test_find_inverts_the_cumulative_sum(weights, share):
    tree = update(sum_tree.zeros(len(weights)), jnp.arange(len(weights)), jnp.array(weights))
    np.testing.assert_allclose(tree[1], np.sum(weights), **LAYER)
    index, p = (x.item() for x in find(tree, jnp.float32([share])))
    bounds = np.append(0, np.cumsum(np.float64(weights)))
    slack = 1e-5 * bounds[-1]
    assert weights[index] > 0
    np.testing.assert_allclose(p, weights[index] / bounds[-1], **LAYER)
    assert bounds[index] - slack <= share * bounds[-1] <= bounds[index + 1] + slack


def test_updated_weights_replace_the_old_ones():
    tree = sum_tree.update(sum_tree.zeros(5), jnp.arange(5), jnp.ones(5))
    tree = sum_tree.update(tree, jnp.array([3, 1, 3]), jnp.array([4.0, 0.0, 4.0]))
    np.testing.assert_array_equal(tree[8:13], [1, 0, 1, 4, 1])
    index, p = sum_tree.draw(tree, KEY, 700)
    np.testing.assert_allclose(p, np.array([1, 0, 1, 4, 1])[index] / 7, **LAYER)
    np.testing.assert_array_equal(np.bincount(index), [100, 0, 100, 400, 100])
