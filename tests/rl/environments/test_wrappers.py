"""Vectorised copies, time limits, scaled actions and rewards, on environments for the tests."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.ranges import ConfigError
from panorax.rl.environments import from_gymnax, wrappers
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environment,
    Environments,
    Observation,
    Step,
)
from panorax.rl.rollout import first_episodes, rollout, start
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
FIRST = {"rtol": 1e-3}
"""rounding of the first scale, which is 1e-4 of the difference between the first two samples"""


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


def rewarding(rewards, ends):
    """An environment that replays rewards (T,) and terminates at the steps `ends` (T,)."""

    def reset(key):
        return jnp.int32(0), Observation(jnp.zeros(1))

    def step(key, time, action):
        after = Step(Observation(jnp.zeros(1)), rewards[time], ends[time], jnp.bool_(False))
        return time + 1, after

    return Environment(reset, step, (1,), Discrete(2), len(rewards))


def stepped(envs, steps, state=None):
    """(state, Steps (T, N)) after `steps` steps, without the resets of `vectorize`."""

    def body(state, _):
        state, _, after = envs.step(KEY, state, jnp.zeros(envs.n, jnp.int32))
        return state, after

    state = envs.reset(KEY)[0] if state is None else state
    return jax.jit(lambda state: jax.lax.scan(body, state, length=steps))(state)


def without_resets(env, n):
    """`n` copies that go on after the end of an episode."""
    many = lambda key, state, action: jax.vmap(env.step, (None, 0, 0))(key, state, action)

    def step(key, state, action):
        state, after = many(key, state, action)
        return state, after.observation, after

    reset = lambda key: jax.vmap(env.reset)(jax.random.split(key, n))
    return Environments(n, reset, step, env.shape, env.actions, env.max_steps)


def test_normalized_rewards_equal_those_of_gymnasium():
    rng = np.random.default_rng(0)
    rewards, ends = rng.normal(1, 2, 60).astype(np.float32), rng.random(60) < 0.2
    envs = without_resets(rewarding(jnp.asarray(rewards), jnp.asarray(ends)), 1)
    _, after = stepped(wrappers.normalize_reward(envs, 0.9), 60)

    class Replayed(gymnasium.Env):
        observation_space = action_space = gymnasium.spaces.Discrete(2)
        time = 0

        def step(self, action):
            self.time += 1
            return 0, float(rewards[self.time - 1]), bool(ends[self.time - 1]), False, {}

    theirs = gymnasium.wrappers.NormalizeReward(Replayed(), gamma=0.9)
    expected = [theirs.step(0)[1] for _ in range(60)]
    reward = after.reward[:, 0]
    np.testing.assert_allclose(reward[0], expected[0], **FIRST)
    np.testing.assert_allclose(reward[1:], expected[1:], **LAYER)
    np.testing.assert_array_equal(after.earned[:, 0], rewards)


def test_the_scale_of_rewards_is_shared_and_goes_on_over_resets():
    """Episodes of 3 steps with rewards 1, 1, 1 and 2, 2, 2 in two environments."""
    plain = wrappers.vectorize(countdown(3), 2)
    step = lambda key, state, action: plain.step(key, state, jnp.arange(1, 3))
    envs = wrappers.normalize_reward(dataclasses.replace(plain, step=step), 0.5)
    state, after = stepped(envs, 7)
    sums, total = [], np.zeros(2)
    for t in range(7):
        total = 0.5 * total * (t % 3 != 2) + np.array([1.0, 2.0])
        sums.append(total)
    n, mean = 14 + 1e-4, np.sum(sums) / (14 + 1e-4)
    var = (1e-4 * (1 + mean**2) + np.sum((np.array(sums) - mean) ** 2)) / n
    np.testing.assert_allclose(after.reward[-1], [1 / var**0.5, 2 / var**0.5], **LAYER)
    np.testing.assert_allclose(state[1].sums, total, **LAYER)
    assert (np.diff(after.reward[:, 1] / after.reward[:, 0]) == 0).all()
    resumed = stepped(envs, 3, stepped(envs, 4)[0])[1]  # the statistics are in the state
    np.testing.assert_array_equal(resumed.reward, after.reward[4:])


def test_reported_returns_are_those_of_the_environment():
    plain = from_gymnax.Config("Pendulum-v1", (("max_steps_in_episode", 4),))
    scaled = dataclasses.replace(plain, reward_discount=0.9)
    envs, normalized = (from_gymnax.environments(cfg, 3) for cfg in (plain, scaled))
    act = lambda memory, observation, first, key: (memory, jnp.zeros((3, 1)))
    (running, one), (of_normalized, two) = (
        jax.jit(lambda e=e: rollout(act, e, start(e, (), KEY), KEY, 6))()
        for e in (envs, normalized)
    )
    np.testing.assert_array_equal(one.reward, two.earned)
    assert (one.reward != two.reward).all()
    np.testing.assert_array_equal(running.episodes.last_return, of_normalized.episodes.last_return)
    returns = [first_episodes(act, e, (), KEY)[0] for e in (envs, normalized)]
    np.testing.assert_array_equal(*returns)
    with pytest.raises(ConfigError, match="below 1"):
        from_gymnax.Config(reward_discount=1.0)
