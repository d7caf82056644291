"""Environments of gymnasium through `Environments`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnasium as host
from panorax.rl.environments.environment import Box, Discrete

KEY = jax.random.key(0)


def test_cartpole_terminates_and_resets_automatically():
    envs = host.environments(host.Config("CartPole-v1"), 2)
    assert envs.shape == (4,) and envs.actions == Discrete(2) and envs.max_steps == 500

    def push(carry, _):
        state, _ = carry
        state, observation, after = envs.step(KEY, state, jnp.ones(2, jnp.int32))
        return (state, observation), (after, observation)

    _, (after, following) = jax.jit(lambda key: jax.lax.scan(push, envs.reset(key), length=30))(KEY)
    ended = np.asarray(after.terminated)
    assert ended.any() and not np.asarray(after.truncated).any()
    assert (np.asarray(after.reward) == 1).all()
    last, first = np.asarray(after.observation.view), np.asarray(following.view)
    assert (np.abs(last[ended][:, 2]) > 0.2).all() and (np.abs(first[ended]) <= 0.05).all()
    np.testing.assert_array_equal(last[~ended], first[~ended])


def test_a_time_limit_truncates_and_actions_are_in_the_unit_box():
    envs = host.environments(host.Config("Pendulum-v1"), 1)
    assert envs.actions == Box((-1.0,), (1.0,))

    def push(carry, _):
        state, observation, after = envs.step(KEY, carry, jnp.ones((1, 1)))
        return state, after

    _, after = jax.jit(lambda key: jax.lax.scan(push, envs.reset(key)[0], length=200))(KEY)
    np.testing.assert_array_equal(np.flatnonzero(after.truncated), [199])
    assert not np.asarray(after.terminated).any()


def test_an_unknown_environment_is_refused():
    with pytest.raises(UserError, match="no environment 'CartPol-v7'"):
        host.environments(host.Config("CartPol-v7"), 1)
