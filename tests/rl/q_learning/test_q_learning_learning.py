import jax
import jax.numpy as jnp
import numpy as np

from panorax.maths.mdp import problems
from panorax.rl.q_learning import agents
from panorax.rl.q_learning.control import greedy_path
from panorax.rl.q_learning.learning import Learner, Schedule, learn_episodes, numbers
from panorax.testing.tolerances import NUMBER


def is_uniform(u):
    """Whether the mean along axis 0 is within four standard errors of 1/2."""
    return np.abs(np.mean(u, 0) - 0.5) < 4 * (12 * len(u)) ** -0.5


def test_schedules_are_powers_of_the_visits():
    np.testing.assert_allclose(Schedule(2.0, 0.5)(np.array([0, 1, 4])), [2, 2, 1], **NUMBER)
    assert Schedule(0.1)(7) == np.float32(0.1)


def test_numbers_are_uniform_and_keys_change():
    key, u = jax.vmap(lambda key: numbers(key, 4))(jax.random.split(jax.random.key(0), 1000))
    assert is_uniform(u).all() and is_uniform(np.ravel(u))
    assert 0 < u.min() < u.max() < 1 and len(np.unique(jax.random.key_data(key)[:, 0])) == 1000


def test_greedy_learning_solves_the_cliff_and_records_its_episodes():
    mdp = problems.cliff_walking()
    learner = Learner(agents.one_step(0), Schedule(1.0), Schedule(0.0))
    Q, record = jax.jit(lambda key: learn_episodes(learner, mdp, key, 300, lambda Q: jnp.max(Q)))(
        jax.random.key(0)
    )
    path = greedy_path(mdp, np.asarray(Q))
    assert len(path) == 14 and path[0] == 36 and path[-1] == 47
    assert record.earned[-1] == -13 and record.first_action[-1] == 3
    assert record.measured.shape == (300,) and record.earned[0] < -100
