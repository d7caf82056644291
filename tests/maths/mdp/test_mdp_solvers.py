import functools

import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.maths.mdp import problems, process, solvers
from panorax.testing.tolerances import DOUBLE

MAZE = problems.gridworld(("S.#.", "...H", ".#.G"), 0.9, slip=0.2, step_reward=-0.1)
GARNET = problems.garnet(np.random.default_rng(1), 12, 3, 4, 0.95)
MODIFIED = functools.partial(solvers.modified_sweep, evaluations=5)
GAP = 1e-10
"""error of a value whose residual is 1e-12, at discounts up to .95"""


@pytest.mark.parametrize("mdp", [MAZE, GARNET], ids=["maze", "garnet"])
def test_all_methods_find_one_value(mdp):
    exact = solvers.policy_iteration(mdp)
    assert (
        np.abs(process.evaluate(mdp, np.eye(mdp.legal.shape[1])[exact.policy]) - exact.value).max()
        == 0
    )
    for sweep in (solvers.value_sweep, MODIFIED, solvers.in_place_sweep):
        solution = solvers.solve(sweep, mdp, 1e-12)
        np.testing.assert_allclose(solution.value, exact.value, atol=GAP)
        np.testing.assert_array_equal(solution.policy[~mdp.terminal], exact.policy[~mdp.terminal])
    programme = solvers.linear_programme(mdp)
    np.testing.assert_allclose(programme.value, exact.value, atol=GAP)


def test_the_dual_programme_is_the_occupancy():
    policy = np.eye(3)[solvers.policy_iteration(GARNET).policy]
    visits = solvers.linear_programme(GARNET).occupancy
    np.testing.assert_allclose(visits, process.occupancy(GARNET, policy), atol=GAP)
    assert visits.sum() == pytest.approx(20)


def test_a_modified_sweep_without_evaluations_is_a_value_sweep():
    V = np.random.default_rng(0).normal(size=12)
    with jax.enable_x64(True):
        plain, residual = solvers.value_sweep(GARNET, V)
        modified, same = solvers.modified_sweep(GARNET, V, 0)
        np.testing.assert_allclose(modified, plain, **DOUBLE)
        assert residual == same == np.abs(plain - V).max()
        policy = np.argmax(np.asarray(process.q_values(GARNET, V)), 1)
        many, _ = solvers.modified_sweep(GARNET, V, 700)
        pairs = (np.arange(12), policy)
        once = np.asarray(process.q_values(GARNET, plain))[pairs]
        twice = np.asarray(process.q_values(GARNET, once))[pairs]
        np.testing.assert_allclose(solvers.modified_sweep(GARNET, V, 2)[0], twice, **DOUBLE)
    np.testing.assert_allclose(many, solvers.one_policy(GARNET, policy), atol=GAP)


def test_iterates_are_repeated_backups():
    V = np.random.default_rng(0).normal(size=12)
    values = solvers.iterates(solvers.value_sweep, GARNET, V, 2)
    with jax.enable_x64(True):
        once = np.max(process.q_values(GARNET, V), 1)
        twice = np.max(process.q_values(GARNET, once), 1)
    np.testing.assert_allclose(values, [V, once, twice], **DOUBLE)
    each = solvers.sweep_each(solvers.value_sweep, GARNET, values[:2])
    np.testing.assert_allclose(each, values[1:], **DOUBLE)


def test_policy_iteration_needs_policies_that_terminate():
    cliff = problems.cliff_walking()
    with pytest.raises(UserError, match="never reaches a terminal state"):
        solvers.policy_iteration(cliff)
    up_right_down = np.where(np.arange(48) % 12 == 11, 1, 2)
    up_right_down[36] = 3
    assert solvers.policy_iteration(cliff, up_right_down).value[36] == -13


def test_too_few_sweeps_are_an_error():
    with pytest.raises(ValueError, match="no solution in 3 sweeps"):
        solvers.solve(solvers.value_sweep, GARNET, 1e-9, limit=3)
