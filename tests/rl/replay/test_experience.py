import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.environments import probes
from panorax.rl.replay import uniform
from panorax.rl.replay.experience import row, transitions
from panorax.rl.rollout import rollout, start


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_row_holds_the_transitions_of_a_rollout(as_bytes):
    envs = probes.environments(probes.Config("discounting"), 3)
    act = lambda memory, observation, first, key: (memory, jnp.ones(3, jnp.int32))
    running, trajectory = rollout(
        act, envs, start(envs, (), jax.random.key(0)), jax.random.key(1), 2
    )
    rows = transitions(trajectory)
    memory = uniform.add(uniform.empty(row(envs, running.observation, as_bytes), 2), rows)
    assert memory.rows.observation.view.dtype == (jnp.uint8 if as_bytes else jnp.float32)
    stored = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), memory.rows)
    jax.tree.map(np.testing.assert_array_equal, stored, rows)
    np.testing.assert_array_equal(stored.next_observation.view[:, 0, 0], [1, 1])
