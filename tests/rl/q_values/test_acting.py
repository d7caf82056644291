import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.q_values.acting import decayed, epsilon_greedy
from panorax.testing.tolerances import NUMBER

SAMPLING = {"atol": 0.03}
"""error of a frequency among 4,000 draws"""

KEY = jax.random.key(0)
Q = jnp.array([3.0, 5.0, -1.0, 4.0])


@pytest.mark.parametrize("legal", [None, jnp.array([True, False, True, True])])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0])
def test_the_best_legal_action_is_taken_unless_all_legal_ones_are_equally_likely(legal, epsilon):
    n = 4000
    rows = lambda x: x if x is None else jnp.broadcast_to(x[None], (n, 4))
    action = epsilon_greedy(rows(Q), rows(legal), epsilon, KEY)
    best, allowed = (1, np.ones(4)) if legal is None else (3, np.asarray(legal))
    expected = epsilon * allowed / allowed.sum() + (1 - epsilon) * np.eye(4)[best]
    frequency = np.bincount(action, minlength=4) / n
    np.testing.assert_allclose(frequency, expected, **SAMPLING)
    assert (frequency[expected == 0] == 0).all()


def test_the_probability_of_a_random_action_decays_linearly():
    steps = jnp.array([0, 50, 100, 1000])
    np.testing.assert_allclose(decayed(1.0, 0.2, 100, steps), [1, 0.6, 0.2, 0.2], **NUMBER)
    np.testing.assert_allclose(decayed(1.0, 0.2, 0.0, jnp.int32(5)), 0.2, **NUMBER)
