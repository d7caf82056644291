import jax
import jax.numpy as jnp
import numpy as np

from panorax.rl.environments import from_gymnax
from panorax.rl.environments.rewards import observed_reward, without_reward
from panorax.rl.evaluation import shown_episodes

N = 2


def test_views_end_with_the_last_reward_of_the_episode():
    plain = from_gymnax.environments(
        from_gymnax.Config("Pendulum-v1", (("max_steps_in_episode", 3),), values=3), N
    )
    envs = observed_reward(plain)
    assert envs.shape == (4,) and envs.picture(np.zeros(4)).ndim == 3
    act = lambda memory, observation, first, key: (memory, jnp.full(N, 2))
    key = jax.random.key(0)
    steps = [shown_episodes(act, e, (), key) for e in (envs, plain)]
    view, reward = without_reward(steps[0].observation.view, plain.shape)
    next_view, next_reward = without_reward(steps[0].next_observation.view, plain.shape)
    np.testing.assert_array_equal(view, steps[1].observation.view)
    np.testing.assert_array_equal(next_view, steps[1].next_observation.view)
    np.testing.assert_array_equal(next_reward, steps[1].reward)
    assert not reward[0].any() and (steps[1].reward < 0).all()
    np.testing.assert_array_equal(reward[1:], steps[1].reward[:-1])


def test_the_first_view_after_the_end_of_an_episode_has_the_reward_0():
    plain = from_gymnax.environments(
        from_gymnax.Config("Pendulum-v1", (("max_steps_in_episode", 1),), values=3), N
    )
    envs = observed_reward(plain)
    state, _ = envs.reset(jax.random.key(0))
    _, observation, after = envs.step(jax.random.key(1), state, jnp.zeros(N, jnp.int32))
    assert after.truncated.all() and (after.observation.view[:, -1] < 0).all()
    assert not observation.view[:, -1].any()
