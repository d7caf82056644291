"""Vectorised copies, time limits and scaled actions, on an environment written for the tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.environments import wrappers
from panorax.rl.environments.environment import Box, Discrete, Environment, Observation, Step

KEY = jax.random.key(0)


def countdown(length, actions=Discrete(2)):
    """Episodes of `length` steps; the view is the uniform number of the start; rewards actions."""

    def reset(key):
        start = jax.random.uniform(key, (1,))
        return (start, jnp.int32(length)), Observation(start)

    def step(key, state, action):
        start, left = state
        reward = jnp.sum(jnp.float32(action))
        after = Step(Observation(start), reward, left == 1, jnp.bool_(False))
        return (start, left - 1), after

    return Environment(reset, step, (1,), actions, 100)


def views(length, n, steps):
    """Views before each of `steps` steps, (steps, n)."""
    envs = wrappers.vectorize(countdown(length), n)

    def body(carry, key):
        state, observation = carry
        state, following, _ = envs.step(key, state, jnp.zeros(n, jnp.int32))
        return (state, following), observation.view[:, 0]

    run = lambda key: jax.lax.scan(body, envs.reset(key), jax.random.split(key, steps))[1]
    return np.asarray(jax.jit(run)(KEY))


@pytest.mark.parametrize("length", [1, 3])
def test_every_episode_of_every_copy_has_its_own_start(length):
    starts = views(length, n=3, steps=8 * length)[::length]
    assert len(np.unique(starts)) == starts.size == 24


def test_a_view_is_kept_until_the_episode_ends():
    seen = views(3, n=2, steps=6)
    np.testing.assert_array_equal(seen, seen[[0, 0, 0, 3, 3, 3]])


def test_a_time_limit_truncates_and_a_terminal_step_is_not_truncated():
    for length, ends in ((9, (False, True)), (2, (True, False))):
        env = wrappers.time_limit(countdown(length), 2)
        state, _ = env.reset(KEY)
        state, first = env.step(KEY, state, 0)
        _, second = env.step(KEY, state, 0)
        assert not first.terminated and not first.truncated
        assert (bool(second.terminated), bool(second.truncated)) == ends
    assert env.max_steps == 2


def test_unit_actions_are_clipped_and_stretched_onto_the_box():
    env = wrappers.unit_actions(countdown(5, Box((0.0, -2.0), (4.0, 2.0))))
    assert env.actions == Box((-1.0, -1.0), (1.0, 1.0))
    state, _ = env.reset(KEY)
    reward = lambda *action: float(env.step(KEY, state, jnp.array(action))[1].reward)
    assert reward(-1.0, 0.0) == 0.0 and reward(0.5, 0.5) == 4.0 and reward(9.0, 1.0) == 6.0
    discrete = countdown(5)
    assert wrappers.unit_actions(discrete) is discrete


def counting(actions=Discrete(5)):
    """Views count the steps of an episode of 4 steps; rewards are actions."""

    def reset(key):
        return jnp.int32(0), Observation(jnp.zeros(2))

    def step(key, time, action):
        view = jnp.full(2, time + 1, jnp.float32)
        reward = jnp.float32(action)
        return time + 1, Step(Observation(view), reward, time == 3, jnp.bool_(False))

    return Environment(reset, step, (2,), actions, 4, picture=lambda view: view)


def test_a_frame_stack_holds_the_newest_views_of_the_episode():
    envs = wrappers.vectorize(wrappers.frame_stack(counting(), 3), 1)
    assert envs.shape == (6,)
    state, observation = envs.reset(KEY)
    seen = [observation.view[0]]
    for _ in range(4):
        state, observation, _ = envs.step(KEY, state, jnp.zeros(1, jnp.int32))
        seen.append(observation.view[0])
    np.testing.assert_array_equal(
        np.stack(seen)[:, ::2], [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [0, 0, 0]]
    )
    np.testing.assert_array_equal(envs.picture(seen[3]), [3, 3])


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_sticky_actions_repeat_the_previous_action_of_the_episode(probability):
    envs = wrappers.vectorize(wrappers.sticky_actions(counting(), probability), 400)

    def body(carry, inputs):
        key, action = inputs
        state, _, after = envs.step(key, carry, jnp.full(400, action))
        return state, after.reward

    steps = jax.random.split(KEY, 5), jnp.arange(5)
    rewards = np.asarray(jax.jit(lambda s: jax.lax.scan(body, s, steps)[1])(envs.reset(KEY)[0]))
    repeated = (np.diff(rewards[:4], axis=0) == 0).mean(1)
    if probability in (0, 1):
        np.testing.assert_array_equal(repeated, np.full(3, probability))
    else:
        assert (np.abs(repeated - probability) < 5 * np.sqrt(0.1875 / 400)).all()  # 5 sigma
    assert (rewards[0] == 0).all() and (rewards[4] == 4).all()  # a new episode repeats nothing


def test_discrete_values_are_evenly_spaced_and_nearest_value_finds_them():
    env = wrappers.discrete_values(counting(Box((-1.0,), (1.0,))), 5)
    values = [float(env.step(KEY, jnp.int32(0), jnp.int32(a))[1].reward[0]) for a in range(5)]
    assert env.actions == Discrete(5) and values == [-1, -0.5, 0, 0.5, 1]
    nearest = wrappers.nearest_value(jnp.array([-7, -0.8, -0.2, 0.3, 0.6, 1]), 5)
    np.testing.assert_array_equal(nearest, [0, 0, 2, 3, 3, 4])
    with pytest.raises(ValueError, match="only actions in"):
        wrappers.discrete_values(counting(), 5)
