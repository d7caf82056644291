"""DeepSea against gymnax's, and its only rewarded episode."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.bsuite.deep_sea import DeepSea

from panorax.rl.environments import deep_sea
from panorax.testing.tolerances import NUMBER

CFG = deep_sea.Config(5, mapping=3)
KEY = jax.random.key(0)


def played(step, state, actions):
    return jax.lax.scan(step, state, jnp.asarray(actions))[1]


def test_random_episodes_equal_those_of_gymnax():
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

        return (
            played(step, ours.reset(KEY)[0], actions),
            played(their_step, theirs.reset_env(KEY, params)[1], actions),
        )

    right = deep_sea.right_actions(CFG)
    actions = jax.random.bernoulli(KEY, 0.5, (64, CFG.size)).astype(jnp.int32)
    actions = actions.at[0].set(jnp.diagonal(right))  # the rewarded episode
    actions = actions.at[1].set(jnp.diagonal(right).at[-1].add(1) % 2)
    (view, reward, end), (their_view, their_reward, their_end) = both(actions)
    np.testing.assert_array_equal(view, their_view)
    np.testing.assert_array_equal(end, their_end)
    np.testing.assert_allclose(reward, their_reward, **NUMBER)
    np.testing.assert_allclose(reward.sum(1)[:2], [0.99, -0.008], **NUMBER)
    assert (reward.sum(1)[2:] <= 0).all()


def test_the_first_observation_is_the_top_left_corner():
    _, observation = deep_sea.make(CFG).reset(KEY)
    assert (
        observation.view.shape == (5, 5) and observation.view[0, 0] == observation.view.sum() == 1
    )
