"""Starts of prioritised replay, its probabilities and weights, and a tree that is never copied."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.replay import prioritized
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
N, CAPACITY, L = 3, 8, 2
ROW = {"time": jnp.zeros(N, jnp.int32)}
add = jax.jit(prioritized.add, static_argnames="length")


def rollout(start):
    """Rows of the times start .. start + L - 1, which name their environment and time."""
    return {"time": jnp.int32(start + np.arange(L)[:, None] + 100 * np.arange(N)[None])}


def filled(rollouts, **options):
    buffer = prioritized.empty(ROW, CAPACITY)
    for i in range(rollouts):
        buffer = add(buffer, rollout(L * i), **options)
    return buffer


@pytest.mark.parametrize("rollouts", [1, 3, 4, 7])
@pytest.mark.parametrize("length", [1, 3])
def test_the_starts_of_prioritised_replay_are_those_of_uniform_replay(rollouts, length):
    buffer = filled(rollouts, length=length)
    leaves = np.split(buffer.tree, 2)[1][: N * CAPACITY].reshape(N, CAPACITY)
    starts = np.asarray(buffer.replay.rows["time"] % 100)[np.asarray(leaves) > 0]
    newest, oldest = L * rollouts - length, max(0, L * rollouts - CAPACITY)
    expected = np.arange(oldest, newest + 1)
    np.testing.assert_array_equal(np.sort(starts), np.repeat(expected, N))


def test_sampling_follows_priorities_and_weights_correct_it():
    buffer = filled(4)
    index = jnp.arange(N * CAPACITY)
    priority = jnp.where(index == 5, 9.0, 1.0)
    buffer = prioritized.reprioritize(buffer, index, priority, 0.5)
    assert float(buffer.largest) == 3
    sequences, weight, index = prioritized.draw(buffer, KEY, 26 * 10, 1.0)
    share = np.mean(np.asarray(index) == 5)
    np.testing.assert_allclose(share, 3 / 26, **LAYER)
    weight = np.asarray(weight)
    np.testing.assert_allclose(weight[np.asarray(index) == 5], 1 / 3, **LAYER)
    np.testing.assert_allclose(weight[np.asarray(index) != 5], 1, **LAYER)
    assert sequences["time"].shape == (260, 1)


def test_steps_of_a_loop_do_not_copy_the_tree():
    def step(buffer, key):
        buffer = prioritized.add(buffer, rollout(0))
        rows, weight, index = prioritized.draw(buffer, key, 4, 0.5)
        priority = 1 + rows["time"][:, 0]
        return prioritized.reprioritize(buffer, index, priority, 0.5), jnp.sum(weight)

    buffer = prioritized.empty(ROW, 512)
    program = jax.jit(lambda buffer, keys: jax.lax.scan(step, buffer, keys), donate_argnums=0)
    text = program.lower(buffer, jax.random.split(KEY, 5)).compile().as_text()
    tree = f"f32[{len(buffer.tree)}]"
    copies = [line for line in text.splitlines() if f"= {tree}" in line and " copy(" in line]
    assert tree in text and copies == []
