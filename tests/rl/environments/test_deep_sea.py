"""DeepSea against the rules of bsuite in numpy, gymnax's, and its only rewarded episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.bsuite.deep_sea import DeepSea

from panorax.core.ranges import ConfigError
from panorax.rl.environments import deep_sea
from panorax.testing.tolerances import NUMBER

CFG = deep_sea.Config(5, mapping=3)
KEY = jax.random.key(0)


def bsuite_episode(n, right_actions, actions):
    """(views, rewards, ends) of an episode by the rules of bsuite's DeepSea without noise."""
    row, column, steps = 0, 0, []
    for action in actions:
        is_right = action == right_actions[row, column]
        reward = 1.0 if is_right and column == n - 1 else 0.0
        if is_right:
            column, reward = min(column + 1, n - 1), reward - 0.01 / n
        else:
            column = max(column - 1, 0)
        row += 1
        view = np.zeros((n, n))
        if row < n:
            view[row, column] = 1
        steps.append((view, reward, row == n))
    return map(np.array, zip(*steps))


@pytest.fixture(scope="module")
def played():
    """Actions (64, n), and (views, rewards, ends) of ours and of gymnax."""
    theirs = DeepSea(CFG.size)
    theirs.action_mapping = deep_sea.right_actions(CFG)
    params, ours = theirs.default_params, deep_sea.make(CFG)

    @jax.jit
    @jax.vmap
    def both(actions):
        def step(state, action):
            state, after = ours.step(KEY, state, action)
            return state, (after.observation.view, after.reward, after.terminated)

        def their_step(state, action):
            view, state, reward, end, _ = theirs.step_env(KEY, state, action, params)
            return state, (view, reward, end)

        start, their_start = ours.reset(KEY)[0], theirs.reset_env(KEY, params)[1]
        return (
            jax.lax.scan(step, start, actions)[1],
            jax.lax.scan(their_step, their_start, actions)[1],
        )

    right = deep_sea.right_actions(CFG)
    actions = jax.random.bernoulli(KEY, 0.5, (64, CFG.size)).astype(jnp.int32)
    actions = actions.at[0].set(jnp.diagonal(right))  # the rewarded episode
    actions = actions.at[1].set(jnp.diagonal(right).at[-1].add(1) % 2)
    return np.asarray(actions), *jax.device_get(both(actions))


def test_random_episodes_follow_the_rules_of_bsuite(played):
    actions, (view, reward, end), _ = played
    right = np.asarray(deep_sea.right_actions(CFG))
    for i, row in enumerate(actions):
        their_view, their_reward, their_end = bsuite_episode(CFG.size, right, row)
        np.testing.assert_array_equal(view[i], their_view)
        np.testing.assert_array_equal(end[i], their_end)
        np.testing.assert_allclose(reward[i], their_reward, **NUMBER)


def test_random_episodes_equal_those_of_gymnax(played):
    _, (view, reward, end), (their_view, their_reward, their_end) = played
    np.testing.assert_array_equal(view, their_view)
    np.testing.assert_array_equal(end, their_end)
    np.testing.assert_allclose(reward, their_reward, **NUMBER)


def test_only_one_episode_is_rewarded(played):
    actions, (_, reward, _), _ = played
    best = (actions == actions[0]).all(1)
    np.testing.assert_allclose(reward.sum(1)[best], np.full(best.sum(), 0.99), **NUMBER)
    np.testing.assert_allclose(reward[1].sum(), -0.008, **NUMBER)
    assert (reward.sum(1)[~best] <= 0).all()


def test_every_mapping_has_its_own_actions_and_none_is_constant():
    drawn = [np.asarray(deep_sea.right_actions(deep_sea.Config(30, m))) for m in range(3)]
    for mapping in drawn:
        assert mapping.shape == (30, 30) and abs(mapping.mean() - 0.5) < 5 * 0.5 / 30  # 5 sigma
    assert (drawn[0] != drawn[1]).any() and (drawn[1] != drawn[2]).any()


def test_the_first_observation_is_the_top_left_corner_and_has_a_picture():
    env = deep_sea.make(CFG)
    _, observation = env.reset(KEY)
    view = np.asarray(observation.view)
    assert view.shape == (5, 5) and view[0, 0] == view.sum() == 1
    image = env.picture(view)
    assert image[0, 0].any() and not image[-1, -1].any() and not image[0, -1].any()


def test_a_sea_without_cells_is_rejected():
    with pytest.raises(ConfigError, match="size"):
        deep_sea.Config(0)
