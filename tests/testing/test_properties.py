"""Each assertion passes for functions with its property and fails for others."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from panorax.interop import flax as interop
from panorax.parallel.sharding import make_mesh
from panorax.testing import properties

X = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
running_sum = lambda x: jnp.cumsum(x, 1)


@given(st.integers(0, 5))
def test_causal(position):
    properties.assert_causal(running_sum, X, position)


@pytest.mark.parametrize(
    "f", [lambda x: jnp.flip(x, 1), lambda x: x - jnp.mean(x, 1, keepdims=True), lambda x: 0 * x]
)
def test_a_function_of_later_inputs_or_of_none_is_not_causal(f):
    with pytest.raises(AssertionError):
        properties.assert_causal(f, X, 2)


def test_row_independent():
    properties.assert_row_independent(running_sum, X)
    with pytest.raises(AssertionError):
        properties.assert_row_independent(lambda x: x - jnp.mean(x, 0, keepdims=True), X)
    with pytest.raises(AssertionError, match="one row cannot show"):
        properties.assert_row_independent(running_sum, X[:1])


@given(st.permutations(range(6)))
def test_permutation_equivariant(order):
    properties.assert_permutation_equivariant(jnp.square, X, order)


def test_a_running_sum_is_not_permutation_equivariant():
    with pytest.raises(AssertionError):
        properties.assert_permutation_equivariant(running_sum, X, [1, 0, 2, 3, 4, 5])


@given(st.lists(st.integers(0, 6), max_size=3).map(sorted))
def test_chunks_equal_whole(cuts):
    def step(state, x):
        y = state[:, None] + jnp.cumsum(x, 1)
        return y[:, -1], y

    properties.assert_chunks_equal_whole(step, np.zeros((3, 4), np.float32), X, cuts)


def test_a_step_that_ignores_its_state_fails():
    forgetful = lambda state, x: (jnp.sum(x, 1), jnp.cumsum(x, 1))
    with pytest.raises(AssertionError):
        properties.assert_chunks_equal_whole(forgetful, np.zeros((3, 4), np.float32), X, [2])


def test_a_step_that_returns_another_state_fails():
    # the first piece keeps the state that the second needs, and the last piece adds to it
    late = lambda state, x: (state + x.shape[1] % 2, jnp.cumsum(x, 1) * 0)
    with pytest.raises(AssertionError):
        properties.assert_chunks_equal_whole(late, np.zeros(3, np.float32), X, [1])


def test_same_function_compares_gradients_and_dtypes():
    properties.assert_same_function(lambda x: x * x, jnp.square, X)
    stopped = lambda x: jax.lax.stop_gradient(jnp.square(x))
    with pytest.raises(AssertionError):
        properties.assert_same_function(stopped, jnp.square, X)
    with pytest.raises(AssertionError):
        properties.assert_same_function(lambda x: jnp.square(x).astype(jnp.bfloat16), jnp.square, X)


def test_sharded_equals_single():
    rows = NamedSharding(make_mesh("data=2"), PartitionSpec("data"))
    x = X[:2]
    properties.assert_sharded_equals_single(lambda x: jnp.mean(x, 0), (x,), (rows,))

    def differs_when_sharded(x):
        return x + (1.0 if jax.sharding.get_abstract_mesh().shape.get("data", 1) > 1 else 0.0)

    with pytest.raises(AssertionError):
        properties.assert_sharded_equals_single(differs_when_sharded, (x,), (rows,))


class Mixer(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x):
        return flax.linen.Dense(4)(jnp.cumsum(x, 1))


def test_properties_of_a_flax_module():
    net = interop.linen(Mixer(), jnp.zeros((1, 6, 4)))
    params, extra = net.init(jax.random.key(0))
    f = lambda x: net.apply(params, extra, x)[0]
    properties.assert_causal(f, X, 3)
    properties.assert_row_independent(f, X)
