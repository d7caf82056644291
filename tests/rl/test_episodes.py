"""Returns of episodes that end, and of episodes that are abandoned."""

import jax.numpy as jnp
import numpy as np

from panorax.rl import episodes


def played(state, rewards, ends):
    for reward, end in zip(rewards, ends):
        state = episodes.record(state, jnp.full(2, reward), jnp.array([end, False]))
    return state


def test_only_finished_episodes_count():
    state = played(episodes.initial(2), [1.0, 2.0, 4.0], [False, True, False])
    metrics = episodes.metrics(state)
    assert {name: float(x) for name, x in metrics.items()} == {
        "episodes": 1,
        "return": 3,
        "length": 2,
    }
    np.testing.assert_array_equal(state.earned, [4, 7])


def test_an_abandoned_episode_does_not_count():
    state = episodes.restarted(played(episodes.initial(2), [8.0], [False]))
    metrics = episodes.metrics(played(state, [1.0], [True]))
    assert float(metrics["return"]) == 1 and float(metrics["length"]) == 1
