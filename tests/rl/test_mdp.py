import numpy as np
import pytest

from panorax.core.ranges import ConfigError
from panorax.maths.mdp import problems, solvers
from panorax.rl.mdp import MAP, Config, errors_of, residual
from panorax.testing.tolerances import DOUBLE

SMALL = Config(states=12, branching=3, side=5, walls=0.1, goal=8, discounts=(0.5, 0.9), pairs=3)


def test_errors_of_the_methods_keep_their_bounds():
    mdp = problems.garnet(np.random.default_rng(0), 12, 4, 3, 0.9)
    errors = errors_of(mdp, SMALL)
    exact = solvers.policy_iteration(mdp).value
    k = np.arange(len(errors["value"]))
    for name in ("value", "modified", "gauss_seidel"):
        assert errors[name][0] == pytest.approx(np.abs(exact).max())
    for name in ("value", "gauss_seidel"):
        assert (errors[name] <= errors[name][0] * 0.9**k + DOUBLE["atol"] * 100).all()
    assert errors["policy"][-1] == 0 and len(errors["policy"]) < 12


def test_a_residual_bounds_the_error():
    mdp = problems.gridworld(MAP, 0.95, 0.3, pit_reward=-1.0)
    exact = solvers.policy_iteration(mdp).value
    value = solvers.solve(solvers.value_sweep, mdp, residual(mdp, 1e-3)).value
    assert 1e-5 < np.abs(value - exact).max() <= 1e-3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"heads": 0.6}, "heads between 0 and 0.5"),
        ({"discount": 1.0}, "discount must be at least 0 and below 1, got 1.0"),
        ({"side": 1}, "at least 2"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Config(**options)
