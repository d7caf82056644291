import jax
import numpy as np
import pytest

from panorax.core.ranges import ConfigError
from panorax.maths.mdp import problems, solvers
from panorax.maths.mdp.process import q_values
from panorax.rl.q_learning.control import cliff_q, exact_q, greedy_path
from panorax.rl.q_learning.study import Config
from panorax.testing.tolerances import DOUBLE


def test_exact_action_values_without_epsilon_are_optimal():
    mdp = problems.garnet(np.random.default_rng(0), 6, 3, 3, 0.9)
    with jax.enable_x64(True):
        best = np.asarray(q_values(mdp, solvers.policy_iteration(mdp).value))
    np.testing.assert_allclose(exact_q(mdp, 0.0), best, **DOUBLE)
    assert (exact_q(mdp, 0.3) <= best + DOUBLE["atol"]).all()


def test_a_tenth_of_random_actions_moves_the_best_path_away_from_the_cliff():
    mdp = problems.cliff_walking()
    lengths = [len(greedy_path(mdp, cliff_q(mdp, epsilon))) - 1 for epsilon in (0.0, 0.1)]
    assert lengths == [13, 15]
    assert len(greedy_path(mdp, np.zeros((48, 4)), limit=7)) == 8


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cliff_alphas": (0.1,)}, "must contain 0.5"),
        ({"horizons": (2, 4)}, "horizons begin with 1"),
        ({"discount": 1.0}, "below 1, got 1.0"),
        ({"seeds": 1}, "need at least 2"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Config(**options)
