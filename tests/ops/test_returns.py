import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.returns import gae
from panorax.testing.tolerances import LAYER

T, N = 7, 3
run = jax.jit(gae)


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
