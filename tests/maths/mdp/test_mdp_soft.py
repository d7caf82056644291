"""Soft Bellman equations by closed forms, and visits by the linear solve."""

import jax
import numpy as np

from panorax.maths.mdp import problems, soft, solvers
from panorax.maths.mdp.process import dense, occupancy
from panorax.testing.tolerances import DOUBLE

GARNET = problems.garnet(np.random.default_rng(0), 6, 3, 2, 0.8)


def soft_solution(mdp):
    value_S = solvers.solve(soft.soft_sweep, mdp, 1e-13).value
    with jax.enable_x64(True):
        return value_S, np.exp(soft.log_policy(mdp, value_S))


def test_one_state_has_the_value_of_a_geometric_sum():
    reward = np.array([0.5, -1.0, 2.0])
    value, policy = soft_solution(dense(np.ones((1, 3, 1)), reward[None], 0.7))
    np.testing.assert_allclose(value, np.log(np.exp(reward).sum()) / 0.3, **DOUBLE)
    np.testing.assert_allclose(policy[0], np.exp(reward) / np.exp(reward).sum(), **DOUBLE)


def test_large_rewards_give_the_optimal_policy_and_terminal_states_the_value_0():
    mdp = problems.gridworld(("S.H", "..G"), 0.9, goal_reward=1e4, pit_reward=-1e4)
    value, policy = soft_solution(mdp)
    best = solvers.policy_iteration(mdp)
    assert (value[mdp.terminal] == 0).all()
    np.testing.assert_allclose(value / 1e4, best.value / 1e4, atol=ENTROPY, rtol=0)
    assert policy[4].argmax() == best.policy[4] == 2


ENTROPY = 1e-3
"""largest entropy of ten steps in units of the reward"""


def test_an_illegal_action_has_probability_0():
    value, policy = soft_solution(problems.gambler(4, 0.4))
    assert np.isfinite(value).all() and policy[1, 1] == 0 and policy[1, 0] == 1


def test_rewards_are_replaced_except_at_terminal_states():
    mdp = problems.gridworld(("S.G",), 0.9)
    reward = soft.with_reward(mdp, np.full((3, 4), 2.0)).reward
    assert (reward[:2] == 2).all() and (reward[2] == 0).all()


def test_the_forward_pass_gives_the_visits_of_the_linear_solve():
    _, policy = soft_solution(GARNET)
    with jax.enable_x64(True):
        visits = np.asarray(soft.forward(GARNET, np.broadcast_to(policy, (150, *policy.shape))))
    np.testing.assert_allclose(visits[0], GARNET.start[:, None] * policy, **DOUBLE)
    np.testing.assert_allclose(visits.sum(0), occupancy(GARNET, policy), **DOUBLE)


def test_a_long_horizon_has_the_policy_of_an_endless_one_and_the_last_step_follows_rewards():
    value, policy = soft_solution(GARNET)
    with jax.enable_x64(True):
        first, log_policies = soft.backward(GARNET, 150)
        last = soft.log_policy(GARNET, np.zeros(6))
    np.testing.assert_allclose(first, value, **DOUBLE)
    np.testing.assert_allclose(np.exp(log_policies[0]), policy, **DOUBLE)
    np.testing.assert_array_equal(log_policies[-1], last)


def test_walks_end_at_a_terminal_state_and_count_with_the_discount():
    mdp = problems.gridworld(("S.G",), 0.5)
    right = np.eye(4)[[2, 2, 2]]
    with jax.enable_x64(True):
        draw = jax.jit(soft.walks, static_argnums=(3, 4))
        walks = jax.device_get(draw(mdp, right, jax.random.key(0), 2, 4))
    np.testing.assert_array_equal(walks.state, [[0, 1, 2, 2]] * 2)
    np.testing.assert_array_equal(walks.running, [[True, True, False, False]] * 2)
    counts = soft.discounted_counts(mdp, walks)
    expected = np.zeros((3, 4))
    expected[0, 2], expected[1, 2] = 1, 0.5
    np.testing.assert_array_equal(counts, [expected] * 2)
