import jax
import jax.numpy as jnp
import numpy as np

from panorax.rl import evaluation
from panorax.rl.environments import probes

KEY = jax.random.key(0)


def test_episodes_are_evaluated_and_shown():
    envs = probes.environments(probes.Config("discounting"), 3)
    act = lambda memory, observation, first, key: (memory, jnp.zeros(3, jnp.int32))
    totals = evaluation.evaluated_episodes(act, envs, (), KEY)
    assert {name: float(total) / n for name, (total, n) in totals.items()} == {
        "eval_return": 1.0,
        "eval_length": 2.0,
    }
    shown = evaluation.shown_episodes(act, envs, (), KEY)
    np.testing.assert_array_equal(shown.terminated[:, 0], [False, True])
    np.testing.assert_array_equal(shown.reward, [[0] * 3, [1] * 3])


def test_estimates_are_compared_with_the_discounted_returns_of_first_episodes():
    envs = probes.environments(probes.Config("discounting"), 3)
    act = lambda memory, observation, first, key: (memory, jnp.zeros(3, jnp.int32))
    value = lambda observation: observation.view[:, 0] + 7
    totals = evaluation.evaluated_values(act, value, envs, (), KEY, 0.5)
    assert {name: float(total) / n for name, (total, n) in totals.items()} == {
        "eval_value": 7.0,
        "eval_overestimation": 6.5,
    }
