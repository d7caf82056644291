"""Rollouts on probes whose episodes are one step long."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl import rollout
from panorax.rl.environments import probes

KEY = jax.random.key(0)
N, T = 6, 8


def act(memory, observation, first, key):
    return memory + 1, jnp.zeros(N, jnp.int32)


@pytest.mark.parametrize("name", ["time_limit", "prediction"])
def test_the_step_after_an_episode_is_a_first_step(name):
    envs = probes.environments(probes.Config(name), N)
    running = rollout.start(envs, jnp.zeros(N), KEY)
    run = lambda running: rollout.rollout(act, envs, running, KEY, T)
    running, trajectory = jax.jit(run)(running)
    assert np.asarray(running.first).all() and np.asarray(trajectory.first).all()
    if name == "time_limit":
        assert np.asarray(trajectory.truncated).any() and np.asarray(trajectory.terminated).any()
    np.testing.assert_array_equal(running.episodes.finished, np.full(N, T))
    np.testing.assert_array_equal(trajectory.memory[:, 0], np.arange(T))
    np.testing.assert_array_equal(trajectory.next_memory[:, 0], np.arange(T) + 1)


def test_steps_inside_an_episode_are_not_first():
    envs = probes.environments(probes.Config("memory", delay=2), N)
    running = rollout.start(envs, jnp.zeros(N), KEY)
    _, trajectory = jax.jit(lambda r: rollout.rollout(act, envs, r, KEY, T))(running)
    ended = np.asarray(trajectory.terminated | trajectory.truncated)
    first = np.asarray(trajectory.first)
    np.testing.assert_array_equal(first[1:], ended[:-1])
    assert first[0].all() and not first.all()


def test_sequences_follow_time_in_each_environment():
    x = jnp.arange(4 * 3).reshape(4, 3)  # T, N
    np.testing.assert_array_equal(
        rollout.sequences(x, 2), [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]
    )
