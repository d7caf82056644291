import gymnasium
import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.maths.mdp import problems, process, solvers
from panorax.testing.tolerances import DOUBLE, NUMBER

RANDOM = np.random.default_rng(0)
GARNET = problems.garnet(RANDOM, 12, 3, 4, 0.9)
GRID = 0.0011
"""a grid of 1,000 uniform numbers gives frequencies to one grid point"""


def dense_of(mdp):
    """P (S, A, S) and R (S, A) by loops."""
    S, A, K = mdp.successor.shape
    P, R = np.zeros((S, A, S)), np.zeros((S, A))
    for s, a, k in np.ndindex(S, A, K):
        P[s, a, mdp.successor[s, a, k]] += mdp.probability[s, a, k]
        R[s, a] += mdp.probability[s, a, k] * mdp.reward[s, a, k]
    return P, R


def test_value_and_occupancy_of_a_policy_solve_the_dense_equations():
    P, R = dense_of(GARNET)
    policy = RANDOM.dirichlet(np.ones(3), 12)
    P_pi, R_pi = np.einsum("sa,sat->st", policy, P), np.sum(policy * R, 1)
    value = np.linalg.solve(np.eye(12) - 0.9 * P_pi, R_pi)
    np.testing.assert_allclose(process.evaluate(GARNET, policy), value, **DOUBLE)
    visits = np.linalg.solve(np.eye(12) - 0.9 * P_pi.T, np.full(12, 1 / 12))
    np.testing.assert_allclose(
        process.occupancy(GARNET, policy), visits[:, None] * policy, **DOUBLE
    )


def test_dense_arrays_give_the_same_process():
    P, R = dense_of(GARNET)
    mdp = process.dense(P, R, 0.9)
    assert mdp.successor.shape == (12, 3, 4)
    np.testing.assert_allclose(dense_of(mdp)[0], P, **DOUBLE)
    np.testing.assert_allclose(dense_of(mdp)[1], R, **DOUBLE)


@pytest.mark.parametrize("name, start", [("4x4", 0.1805), ("8x8", None)])
def test_gridworld_is_frozen_lake(name, start):
    lake = gymnasium.make("FrozenLake-v1", map_name=name).unwrapped
    rows = tuple("".join(cell.decode() for cell in row) for row in lake.desc)
    mdp = problems.gridworld(rows, 0.95, slip=2 / 3)
    S, value = len(lake.P), np.zeros(len(lake.P))
    P = np.zeros((S, 4, S))
    for s, a in np.ndindex(S, 4):
        for p, after, _, _ in lake.P[s][a]:
            P[s, a, after] += p
    np.testing.assert_allclose(dense_of(mdp)[0], P, **DOUBLE)
    for _ in range(1000):
        backup = lambda p, s, r, done: p * (r + 0.95 * value[s] * (not done))
        value = np.array(
            [max(sum(backup(*t) for t in lake.P[s][a]) for a in range(4)) for s in range(S)]
        )
    exact = solvers.policy_iteration(mdp).value
    np.testing.assert_allclose(exact, value, **DOUBLE)
    assert start is None or round(exact[0], 4) == start


def test_a_trembling_process_has_the_best_epsilon_soft_value():
    """Its Bellman equation is V = (1 - eps) max Q + eps mean Q, solved here by plain iteration."""
    mdp = problems.two_doors(4, -0.1)
    value, legal = np.zeros(3), mdp.legal
    for _ in range(10):
        q = np.where(legal, np.asarray(process.q_values(mdp, value)), np.nan)
        value = 0.7 * np.nanmax(q, 1) + 0.3 * np.nanmean(q, 1)
    exact = solvers.policy_iteration(process.trembling(mdp, 0.3)).value
    np.testing.assert_allclose(exact, value, **NUMBER)
    assert exact[0] == pytest.approx(-0.1 * 0.15)


def test_epsilon_greedy_shares_ties_and_avoids_illegal_actions():
    q, legal = np.array([1.0, 1.0, 0.0, 9.0]), np.array([True, True, True, False])
    pi = process.epsilon_greedy(q, legal, 0.3)
    np.testing.assert_allclose(pi, [0.45, 0.45, 0.1, 0], **NUMBER)
    twice = process.epsilon_greedy(np.stack([q, q]), np.stack([legal, legal]), 0.3)
    np.testing.assert_allclose(twice, [pi, pi], **NUMBER)


def test_step_draws_the_transition():
    mdp = jax.tree.map(jax.numpy.asarray, problems.garnet(RANDOM, 5, 2, 3, 0.9))
    u = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    reward, state, terminated = jax.vmap(lambda u: process.step(mdp, u, 2, 1))(u)
    expected = np.zeros(5)
    expected[mdp.successor[2, 1]] = mdp.probability[2, 1]
    np.testing.assert_allclose(np.bincount(state, minlength=5) / 1000, expected, atol=GRID)
    assert (reward == mdp.reward[2, 1, 0]).all() and not terminated.any()


def test_draws_avoid_probability_zero():
    p = np.array([0, 0.1, 0.2, 0.7, 0], np.float32) * 0.999
    u = np.array([0, 0.0999, 0.1001, 0.2999, 0.3001, 1 - 2**-24], np.float32)
    drawn = [int(process.draw(x, jax.numpy.asarray(p))) for x in u]
    assert drawn == [1, 1, 2, 2, 3, 3]


def faulty(**changed):
    """Arguments of `finite` for two states, of which the second is terminal, with changes."""
    arguments = {
        "successor": [[[0, 1]], [[1, 1]]],
        "probability": [[[0.5, 0.5]], [[1.0, 0.0]]],
        "reward": [[[1.0, 0.0]], [[0.0, 0.0]]],
        "discount": 1.0,
        "terminal": [False, True],
    }
    return process.finite(**arguments | changed)


def test_bad_input_is_refused_in_one_line():
    assert faulty().terminal[1]
    for changed, message in (
        ({"probability": [[[0.5, 0.4]], [[1, 0]]]}, "state 0, action 0 .* got sum 0.9"),
        ({"probability": [[[1.5, -0.5]], [[1, 0]]]}, "minimum -0.5"),
        ({"successor": [[[0, 2]], [[1, 1]]]}, "states from 0 to 1, got 2"),
        ({"successor": [[[0, -1]], [[1, 1]]]}, "states from 0 to 1, got -1"),
        ({"successor": [[0, 1], [1, 1]]}, "one shape"),
        ({"reward": [[[np.inf, 0]], [[0, 0]]]}, "rewards must be finite"),
        ({"discount": 1.5}, "between 0 and 1, got 1.5"),
        ({"terminal": None}, "a discount of 1 needs termination"),
        ({"legal": [[False], [True]]}, "state 0 has none"),
        ({"start": [0.7, 0.7]}, "probabilities of the start .* got sum 1.4"),
    ):
        with pytest.raises(UserError, match=message):
            faulty(**changed)
    assert faulty(terminal=None, discount=0.9).discount == 0.9
    with pytest.raises(UserError, match="the policy never reaches a terminal state from state 0"):
        process.evaluate(problems.cliff_walking(), np.eye(4)[np.zeros(48, int)])
