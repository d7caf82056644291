"""Layer norm: a shift of the row changes nothing, and a large mean does not cancel the variance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pallas_kernels.layer_norm import layer_norm, reference
from panorax.testing.tolerances import HALF, LAYER, MODEL

SHAPE = (9, 45)
DY = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
SCALE, BIAS = np.linspace(-2, 2, 45, dtype=np.float32), np.linspace(3, 1, 45, dtype=np.float32)
NAMES = pytest.mark.parametrize("name", ("triton_interpreted", "tpu_interpreted"))
SHIFTED = {"rtol": 1e-4, "atol": 5e-5}
"""rows that were shifted by up to 256, whose mean errs by 2e-5"""
LARGE = {"rtol": 0, "atol": 5e-3}
"""rows around a large number: x and its mean err by 1e-3"""
EIGHTHS = arrays(np.int32, SHAPE, elements=st.integers(-40, 40), unique=False)


@functools.cache
def value_and_gradients(name: str):
    run = functools.partial(layer_norm, eps=1e-5, implementation=name)

    def both(x, dy, scale, bias):
        y, pull = jax.vjp(run, x, scale, bias)
        return y, *pull(dy)

    return jax.jit(both)


@NAMES
@given(n=EIGHTHS, shift=st.integers(-256, 256))
def test_a_shift_of_a_row_changes_nothing(name, n, shift):
    n[:, :2] = -40, 40  # a row has a variance
    x = np.float32(n / 8)
    y, dx, dscale, dbias = value_and_gradients(name)(x, DY, SCALE, BIAS)
    moved, dx_moved, *_ = value_and_gradients(name)(x + np.float32(shift), DY, SCALE, BIAS)
    np.testing.assert_allclose(moved, y, **SHIFTED)
    np.testing.assert_allclose(dx_moved, dx, **SHIFTED)
    np.testing.assert_allclose(np.sum(dx, 1), 0, **MODEL)  # no gain along a shift
    np.testing.assert_allclose(dbias, DY.sum(0), **LAYER)


@NAMES
def test_the_variance_of_a_row_with_a_large_mean_does_not_cancel(name):
    """mean(x^2) - mean(x)^2 has no correct digit here."""
    x = np.float32(1e4 + np.random.default_rng(1).normal(size=SHAPE))
    y, *_ = value_and_gradients(name)(x, DY, SCALE, BIAS)
    with jax.enable_x64(True):
        exact = np.asarray(reference(*map(np.float64, (x, SCALE, BIAS)), 1e-5))
    np.testing.assert_allclose(y, exact, **LARGE)


@NAMES
def test_float16_rows_of_1e4_do_not_overflow(name):
    x = np.float16(1e4 * np.sign(DY))
    y, dx, dscale, dbias = value_and_gradients(name)(
        x, np.float16(DY), np.float16(SCALE), np.float16(BIAS)
    )
    assert {v.dtype for v in (y, dx, dscale, dbias)} == {jnp.dtype(jnp.float16)}
    np.testing.assert_allclose(y, reference(np.float32(x), SCALE, BIAS, 1e-5), **HALF)
    assert all(np.all(np.isfinite(v)) for v in (dx, dscale, dbias))


def test_a_bias_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"bias has the shape \(1,\); accepted: \(45,\)"):
        layer_norm(DY, SCALE, BIAS[:1])
