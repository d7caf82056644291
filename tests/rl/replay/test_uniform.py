"""The ring against a Python list."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.replay import uniform

KEY = jax.random.key(0)
N, CAPACITY, L = 3, 8, 2
ROW = {"time": jnp.zeros((N,), jnp.int32), "view": jnp.zeros((N, 2), jnp.uint8)}
add = jax.jit(uniform.add)


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
