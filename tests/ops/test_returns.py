import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops import returns
from panorax.testing.tolerances import LAYER

T, N = 7, 3
run = jax.jit(returns.gae)
lambda_returns, vtrace, retrace = map(
    jax.jit, (returns.lambda_returns, returns.vtrace, returns.retrace)
)
n_step_returns = jax.jit(returns.n_step_returns, static_argnums=5)


def drawn(seed):
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, T, N)).astype(np.float32)
    ended = rng.uniform(size=(2, T, N)) < 0.2
    return reward, value, next_value, ended[0], ended[1] & ~ended[0]


def loop(reward, value, next_value, terminated, truncated, discount, lambda_):
    advantage = np.zeros((T + 1, N))
    for t in reversed(range(T)):
        delta = reward[t] + discount * (1.0 - terminated[t]) * next_value[t] - value[t]
        decay = discount * lambda_ * ~(terminated[t] | truncated[t])
        advantage[t] = delta + decay * advantage[t + 1]
    return advantage[:T]


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_gae_equals_the_recursion_in_a_loop(seed, discount, lambda_):
    inputs = (*drawn(seed), discount, lambda_)
    np.testing.assert_allclose(run(*inputs), loop(*inputs), **LAYER)


@given(st.integers(0, 1000))
def test_lambda_0_gives_the_td_error(seed):
    reward, value, next_value, terminated, _ = drawn(seed)
    td_error = reward + 0.9 * ~terminated * next_value - value
    np.testing.assert_allclose(run(*drawn(seed), 0.9, 0.0), td_error, **LAYER)


@given(st.integers(0, 1000))
def test_lambda_1_gives_the_return_minus_the_value(seed):
    reward, value, *_ = drawn(seed)
    never = np.zeros((T, N), bool)
    tail = np.append(value[1:], np.ones((1, N), np.float32), 0)
    returns = tail[-1]
    expected = np.zeros((T, N))
    for t in reversed(range(T)):
        returns = reward[t] + 0.9 * returns
        expected[t] = returns - value[t]
    advantage = run(reward, value, tail, never, never, 0.9, 1.0)
    np.testing.assert_allclose(advantage, expected, **LAYER)


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_lambda_returns_equal_the_mixture_of_n_step_returns(seed, discount, lambda_):
    reward, _, next_value, terminated, truncated = drawn(seed)
    ended = terminated | truncated
    expected = np.zeros((T, N))
    for t, i in np.ndindex(T, N):
        ends = [u for u in range(t, T) if ended[u, i] or u == T - 1][0]
        for m in range(1, ends - t + 2):
            last = t + m - 1
            n_step = sum(discount**k * reward[t + k, i] for k in range(m))
            n_step += discount**m * (1 - terminated[last, i]) * next_value[last, i]
            share = lambda_ ** (m - 1) * (1 - lambda_ if last < ends else 1)
            expected[t, i] += share * n_step
    result = lambda_returns(reward, next_value, terminated, truncated, discount, lambda_)
    np.testing.assert_allclose(result, expected, **LAYER)


@given(st.integers(0, 1000), st.floats(0, 1), st.integers(1, T + 2))
def test_n_step_returns_stop_at_the_end_of_an_episode(seed, discount, n):
    reward, _, next_value, terminated, truncated = drawn(seed)
    expected = np.zeros((T, N))
    for t, i in np.ndindex(T, N):
        for m in range(n):
            last = t + m
            expected[t, i] += discount**m * reward[last, i]
            if terminated[last, i] or truncated[last, i] or last == T - 1:
                break
        expected[t, i] += discount ** (m + 1) * (1 - terminated[last, i]) * next_value[last, i]
    inputs = (reward, next_value, terminated, truncated, discount)
    np.testing.assert_allclose(n_step_returns(*inputs, n), expected, **LAYER)


def successors(value, next_value, ended):
    """V(s'_t): V(s_{t+1}) inside an episode, `next_value` elsewhere."""
    return np.where(ended, next_value, np.append(value[1:], next_value[-1:], 0))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_vtrace_and_retrace_on_policy_are_lambda_returns(seed, lambda_):
    reward, value, next_value, terminated, truncated = drawn(seed)
    next_value = successors(value, next_value, terminated | truncated)
    ends = terminated, truncated
    expected = lambda_returns(reward, next_value, *ends, 0.9, lambda_)
    same = np.zeros((T, N), np.float32)
    target, _ = vtrace(same, reward, value, next_value, *ends, 0.9, lambda_)
    np.testing.assert_allclose(target, expected, **LAYER)
    target = retrace(same, reward, value, next_value, *ends, 0.9, lambda_)
    np.testing.assert_allclose(target, expected, **LAYER)


@given(st.integers(0, 1000))
def test_vtrace_and_retrace_off_policy_equal_the_sums_of_the_papers(seed):
    reward, value, next_value, terminated, truncated = drawn(seed)
    log_ratio = np.random.default_rng(seed + 1).normal(size=(T, N)).astype(np.float32)
    ended = terminated | truncated
    next_value = successors(value, next_value, ended)
    clipped = np.minimum(1, np.exp(log_ratio))
    delta = reward + 0.9 * ~terminated * next_value - value
    v, g, advantage = np.array(value), np.array(value), np.zeros((T, N))
    for t, i in np.ndindex(T, N):
        trace_v = trace_g = 1.0
        for u in range(t, T):
            v[t, i] += trace_v * clipped[u, i] * delta[u, i]
            g[t, i] += trace_g * delta[u, i]
            if ended[u, i] or u == T - 1:
                break
            trace_v *= 0.9 * 0.7 * clipped[u, i]
            trace_g *= 0.9 * 0.7 * clipped[u + 1, i]
    for t, i in np.ndindex(T, N):
        later = next_value[t, i] if ended[t, i] or t == T - 1 else v[t + 1, i]
        advantage[t, i] = clipped[t, i] * (
            reward[t, i] + 0.9 * (1 - terminated[t, i]) * later - value[t, i]
        )
    inputs = (log_ratio, reward, value, next_value, terminated, truncated)
    target, pg_advantage = vtrace(*inputs, 0.9, 0.7)
    np.testing.assert_allclose(target, v, **LAYER)
    np.testing.assert_allclose(pg_advantage, advantage, **LAYER)
    np.testing.assert_allclose(retrace(*inputs, 0.9, 0.7), g, **LAYER)
