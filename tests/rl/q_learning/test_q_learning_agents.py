import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.q_learning import agents
from panorax.rl.q_learning.agents import Transition
from panorax.testing.tolerances import NUMBER

GAMMA, ALPHA = 0.9, 0.3
LEGAL = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(4, 3)).astype(np.float32)
TABLE[2, 1] = 9  # an illegal action, which no maximum may choose
# An episode that revisits pairs: (s, a, r) of every step; state 3 is terminal.
EPISODE = [(0, 1, 1.0), (1, 2, -0.5), (0, 1, 0.3), (2, 0, 2.0), (1, 2, 0.1), (1, 0, 1.5)]


def transition(i: int, policy=(0.2, 0.3, 0.5)) -> Transition:
    s, a, r = EPISODE[i]
    ended = i == len(EPISODE) - 1
    s_next, a_next = (3, 0) if ended else EPISODE[i + 1][:2]
    array = lambda x, dtype: jnp.asarray(x, dtype)
    return Transition(
        array(s, int),
        array(a, int),
        array(r, jnp.float32),
        array(s_next, int),
        array(a_next, int),
        array(policy, jnp.float32),
        array(ended, bool),
    )


def updated(agent, state, t, u=0.7):
    return agent.update(state, t, lambda s, a: ALPHA, jnp.asarray(LEGAL), GAMMA, jnp.float32(u))


def after_episodes(agent, episodes: int = 2) -> np.ndarray:
    update = jax.jit(lambda state, t: updated(agent, state, t))
    state = agent.init(4, 3)
    for i in [*range(len(EPISODE))] * episodes:
        state = update(state, transition(i))
    return np.asarray(agent.table(state))


@pytest.mark.parametrize("rule, name", list(enumerate(agents.ONE_STEP)))
def test_one_step_targets(rule, name):
    """Step 2 goes from (0, 1) with reward .3 to state 2, whose action 1 is illegal."""
    q = TABLE[2]
    value = {
        "q_learning": max(q[0], q[2]),
        "sarsa": q[0],
        "expected_sarsa": 0.2 * q[0] + 0.3 * q[1] + 0.5 * q[2],
    }[name]
    expected = TABLE.copy()
    expected[0, 1] += ALPHA * (0.3 + GAMMA * value - TABLE[0, 1])
    Q = updated(agents.one_step(rule), jnp.asarray(TABLE), transition(2))
    np.testing.assert_allclose(Q, expected, **NUMBER)
    expected = TABLE.copy()
    expected[1, 0] += ALPHA * (1.5 - TABLE[1, 0])  # the last step ends
    Q = updated(agents.one_step(rule), jnp.asarray(TABLE), transition(5))
    np.testing.assert_allclose(Q, expected, **NUMBER)


@pytest.mark.parametrize("u, i", [(0.2, 1), (0.7, 0)])
def test_double_q_evaluates_with_the_other_table(u, i):
    tables = np.stack([TABLE, RANDOM.normal(size=(4, 3)).astype(np.float32)])
    expected = tables.copy()
    best = [0, 2][int(tables[i, 2, 2] > tables[i, 2, 0])]
    target = 0.3 + GAMMA * tables[1 - i, 2, best]
    expected[i, 0, 1] += ALPHA * (target - tables[i, 0, 1])
    Q = updated(agents.double_q, jnp.asarray(tables), transition(2), u)
    np.testing.assert_allclose(Q, expected, **NUMBER)
    np.testing.assert_allclose(agents.double_q.table(tables), tables.mean(0), **NUMBER)


def forward_n_step(n: int, episodes: int = 2) -> np.ndarray:
    """The algorithm of Sutton & Barto 2018, section 7.2, with its loop over the time of update."""
    Q, T = np.zeros((4, 3)), len(EPISODE)
    for _ in range(episodes):
        for tau in range(T):
            until = min(tau + n, T)
            G = sum(GAMMA ** (i - tau) * EPISODE[i][2] for i in range(tau, until))
            if tau + n < T:
                G += GAMMA**n * Q[EPISODE[tau + n][:2]]
            Q[EPISODE[tau][:2]] += ALPHA * (G - Q[EPISODE[tau][:2]])
    return Q


@pytest.mark.parametrize("n", [1, 3, 9])
def test_n_step_sarsa_is_the_forward_view(n):
    np.testing.assert_allclose(after_episodes(agents.n_step_sarsa(n)), forward_n_step(n), **NUMBER)


def online_lambda_return(lambda_: float) -> np.ndarray:
    """The online forward view (van Seijen et al. 2016): every horizon h repeats all updates.

    G of a pair is the lambda return truncated at h, with bootstrap from the values at their times.
    """
    T = len(EPISODE)
    tables = [np.zeros((4, 3))]  # tables[h] after the updates of horizon h
    for h in range(1, T + 1):
        Q = np.zeros((4, 3))
        for t in range(h):
            n_step = [
                sum(GAMMA ** (i - t) * EPISODE[i][2] for i in range(t, k))
                + (GAMMA ** (k - t) * tables[k - 1][EPISODE[k][:2]] if k < T else 0)
                for k in range(t + 1, h + 1)
            ]
            weights = [(1 - lambda_) * lambda_**j for j in range(h - t - 1)] + [
                lambda_ ** (h - t - 1)
            ]
            Q[EPISODE[t][:2]] += ALPHA * (np.dot(weights, n_step) - Q[EPISODE[t][:2]])
        tables.append(Q)
    return tables[-1]


def test_dutch_traces_are_the_online_forward_view():
    Q = after_episodes(agents.sarsa_lambda(0.8, "dutch"), 1)
    np.testing.assert_allclose(Q, online_lambda_return(0.8), **NUMBER)


@pytest.mark.parametrize("trace", ["accumulating", "replacing"])
def test_traces_by_a_plain_loop(trace):
    Q, E = np.zeros((4, 3)), np.zeros((4, 3))
    for i, (s, a, r) in enumerate(EPISODE):
        q_next = Q[EPISODE[i + 1][:2]] if i + 1 < len(EPISODE) else 0
        delta = r + GAMMA * q_next - Q[s, a]
        E *= GAMMA * 0.8
        E[s, a] = 1 if trace == "replacing" else E[s, a] + 1
        Q += ALPHA * delta * E
    np.testing.assert_allclose(after_episodes(agents.sarsa_lambda(0.8, trace), 1), Q, **NUMBER)
