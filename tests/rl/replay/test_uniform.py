"""The ring against a Python list, and sampling by priority against its probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.rl.replay import prioritized, sum_tree, uniform
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
N, CAPACITY, L = 3, 8, 2
ROW = {"time": jnp.zeros((N,), jnp.int32), "view": jnp.zeros((N, 2), jnp.uint8)}
add = jax.jit(uniform.add)
add_prioritized = jax.jit(prioritized.add, static_argnames="length")


def rollout(start):
    """Rows of the times start .. start + L - 1, which name their environment and time."""
    time = start + np.arange(L)[:, None] + 100 * np.arange(N)[None]
    return {"time": jnp.int32(time), "view": jnp.ones((L, N, 2))}


def filled(rollouts, empty=uniform.empty, add=add, **options):
    buffer = empty(ROW, CAPACITY)
    for i in range(rollouts):
        buffer = add(buffer, rollout(L * i), **options)
    return buffer


@pytest.mark.parametrize("rollouts", [1, 3, 4, 7])
def test_sequences_are_consecutive_and_among_the_newest_rows(rollouts):
    buffer = filled(rollouts)
    assert buffer.rows["view"].dtype == jnp.uint8
    time_BL = np.asarray(jax.jit(uniform.draw, static_argnums=(2, 3))(buffer, KEY, 500, 2)["time"])
    assert (np.diff(time_BL) == 1).all()
    oldest = max(0, L * rollouts - CAPACITY)
    starts = set((time_BL[:, 0] % 100).tolist())
    assert starts == set(range(oldest, L * rollouts - 1))
    assert set((time_BL[:, 0] // 100).tolist()) == set(range(N))


def test_capacity_is_a_multiple_of_the_rollout():
    with pytest.raises(ValueError, match="a capacity of 7 rows is no multiple of the 2 rows"):
        uniform.add(uniform.empty(ROW, 7), rollout(0))


weights = st.lists(st.floats(0, 10, width=32).map(lambda w: w if w > 1e-3 else 0.0), min_size=1)


@given(weights.filter(any), st.floats(0, 1, exclude_max=True))
def test_find_inverts_the_cumulative_sum(weights, share):
    tree = sum_tree.update(
        sum_tree.zeros(len(weights)), jnp.arange(len(weights)), jnp.array(weights)
    )
    np.testing.assert_allclose(sum_tree.total(tree), np.sum(weights), **LAYER)
    index = int(sum_tree.find(tree, share * sum_tree.total(tree)[None])[0])
    bounds = np.append(0, np.cumsum(np.float64(weights)))
    slack = 1e-5 * bounds[-1]
    assert weights[index] > 0
    assert bounds[index] - slack <= share * bounds[-1] <= bounds[index + 1] + slack


def test_updated_weights_replace_the_old_ones():
    tree = sum_tree.update(sum_tree.zeros(5), jnp.arange(5), jnp.ones(5))
    tree = sum_tree.update(tree, jnp.array([3, 1, 3]), jnp.array([4.0, 0.0, 4.0]))
    np.testing.assert_array_equal(sum_tree.weight(tree, jnp.arange(5)), [1, 0, 1, 4, 1])
    index = sum_tree.draw(tree, KEY, 700)
    np.testing.assert_array_equal(np.bincount(index), [100, 0, 100, 400, 100])


@pytest.mark.parametrize("rollouts", [1, 3, 4, 7])
@pytest.mark.parametrize("length", [1, 3])
def test_the_starts_of_prioritised_replay_are_those_of_uniform_replay(rollouts, length):
    buffer = filled(rollouts, prioritized.empty, add_prioritized, length=length)
    leaves = sum_tree.weight(buffer.tree, jnp.arange(N * CAPACITY)).reshape(N, CAPACITY)
    starts = np.asarray(buffer.replay.rows["time"] % 100)[np.asarray(leaves) > 0]
    newest, oldest = L * rollouts - length, max(0, L * rollouts - CAPACITY)
    expected = np.arange(oldest, newest + 1)
    np.testing.assert_array_equal(np.sort(starts), np.repeat(expected, N))


def test_sampling_follows_priorities_and_weights_correct_it():
    buffer = filled(4, prioritized.empty, add_prioritized)
    index = jnp.arange(N * CAPACITY)
    priority = jnp.where(index == 5, 9.0, 1.0)
    buffer = prioritized.reprioritize(buffer, index, priority, 0.5)
    assert float(buffer.largest) == 3
    sequences, weight, index = prioritized.draw(buffer, KEY, 26 * 10, 1.0)
    share = np.mean(np.asarray(index) == 5)
    np.testing.assert_allclose(share, 3 / 26, **LAYER)
    weight = np.asarray(weight)
    np.testing.assert_allclose(weight[np.asarray(index) == 5], 1 / 3, **LAYER)
    np.testing.assert_array_equal(weight[np.asarray(index) != 5], 1)
    assert sequences["time"].shape == (260, 1)
