import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.returns import gae

T, N = 7, 3
run = jax.jit(gae)


def drawn(seed):
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, T, N)).astype(np.float32)
    ended = rng.uniform(size=(2, T, N)) < 0.2
    return reward, value, next_value, ended[0], ended[1] & ~ended[0]


def loop(reward, value, next_value, terminated, truncated, discount, lambda_):
    advantage, after = np.zeros((T, N)), np.zeros(N)
    for t in reversed(range(T)):
        delta = reward[t] + discount * (1.0 - terminated[t]) * next_value[t] - value[t]
        after = delta + discount * lambda_ * ~(terminated[t] | truncated[t]) * after
        advantage[t] = after
    return advantage


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_equals_the_recursion(seed, discount, lambda_):
    inputs = drawn(seed)
    np.testing.assert_allclose(
        run(*inputs, discount, lambda_), loop(*inputs, discount, lambda_), atol=1e-5
    )


@given(st.integers(0, 1000))
def test_lambda_0_is_the_one_step_error(seed):
    reward, value, next_value, terminated, truncated = drawn(seed)
    np.testing.assert_allclose(
        run(*drawn(seed), 0.9, 0.0), reward + 0.9 * ~terminated * next_value - value, atol=1e-5
    )


@given(st.integers(0, 1000))
def test_lambda_1_is_the_return_less_the_value(seed):
    reward, value, *_ = drawn(seed)
    never = np.zeros((T, N), bool)
    tail = np.append(value[1:], np.ones((1, N), np.float32), 0)
    returns = tail[-1]
    expected = np.zeros((T, N))
    for t in reversed(range(T)):
        returns = reward[t] + 0.9 * returns
        expected[t] = returns - value[t]
    np.testing.assert_allclose(
        run(reward, value, tail, never, never, 0.9, 1.0), expected, atol=1e-4
    )
