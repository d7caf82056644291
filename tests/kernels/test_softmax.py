"""Softmax: rows sum to 1, shifts change nothing, and extreme logits are those of jax.nn."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pallas_kernels.softmax import IMPLEMENTATIONS, softmax
from panorax.testing.tolerances import LAYER

SHAPE = (5, 37)
RUN = {
    name: jax.jit(functools.partial(softmax, implementation=name))
    for name in ("reference", "triton_interpreted", "tpu_interpreted")
}
NAMES = pytest.mark.parametrize("name", RUN)
EIGHTHS = arrays(np.int32, SHAPE, elements=st.integers(-400, 400)).map(lambda n: np.float32(n / 8))
EXTREME = arrays(np.float32, SHAPE, elements=st.sampled_from([-np.inf, -1e30, -80, 0, 1, 1e30]))
jax_softmax = jax.jit(jax.nn.softmax)


@NAMES
@given(x=EIGHTHS, shift=st.integers(-1000, 1000))
def test_rows_sum_to_one_and_ignore_a_shift(name, x, shift):
    y = np.asarray(RUN[name](x))
    assert np.all(y >= 0)
    np.testing.assert_allclose(y.sum(1), 1, **LAYER)
    np.testing.assert_array_equal(RUN[name](x + np.float32(shift)), y)  # the sums are exact


@NAMES
@given(x=EXTREME)
def test_extreme_logits_are_those_of_jax(name, x):
    x[0] = -np.inf  # NaN
    x[1, 1:], x[1, 0] = -np.inf, 1e30
    np.testing.assert_allclose(RUN[name](x), jax_softmax(x), **LAYER)


@NAMES
def test_the_gradient_ignores_masked_logits(name):
    x, dy = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    x[:, ::2] = -np.inf
    x[0, 1] = 1e30
    pull = lambda f: jax.jit(lambda x, dy: jax.vjp(f, x)[1](dy)[0])(x, dy)
    dx = np.asarray(pull(RUN[name]))
    np.testing.assert_allclose(dx, pull(jax.nn.softmax), **LAYER)
    assert np.all(dx[:, ::2] == 0)


def test_an_inner_axis_is_reached_by_vmap():
    x = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    columns = jax.jit(jax.vmap(RUN["triton_interpreted"], 1, 1))(x)
    np.testing.assert_allclose(columns, jax.jit(lambda x: jax.nn.softmax(x, 0))(x), **LAYER)


def test_its_implementations():
    assert {*RUN} <= {*IMPLEMENTATIONS}
