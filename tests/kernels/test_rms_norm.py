"""RMS norm: a positive factor changes nothing, and statistics are float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pallas_kernels.rms_norm import reference, rms_norm
from panorax.testing.tolerances import HALF, LAYER, MODEL

X, DY = np.random.default_rng(0).normal(size=(2, 9, 45)).astype(np.float32)
SCALE = np.linspace(-2, 2, 45, dtype=np.float32)
NAMES = pytest.mark.parametrize("name", ("triton_interpreted", "tpu_interpreted"))


@functools.cache
def value_and_gradients(name: str, eps: float):
    run = functools.partial(rms_norm, eps=eps, implementation=name)

    def both(x, scale, dy):
        y, pull = jax.vjp(run, x, scale)
        return y, *pull(dy)

    return jax.jit(both)


@NAMES
@given(st.floats(1e-4, 1e4))
def test_a_positive_factor_changes_nothing_without_eps(name, factor):
    run = value_and_gradients(name, 0.0)
    y, dx, dscale = run(X, SCALE, DY)
    scaled, dx_scaled, dscale_scaled = run(X * np.float32(factor), SCALE, DY)
    np.testing.assert_allclose(scaled, y, **LAYER)
    np.testing.assert_allclose(dx_scaled * factor, dx, **MODEL)
    np.testing.assert_allclose(dscale_scaled, dscale, **MODEL)
    np.testing.assert_allclose(np.sum(dx * X, 1), 0, **MODEL)  # Euler: no gain along x


@NAMES
@given(st.sampled_from((1e-3, 1e-2, 1e-1)))
def test_eps_shrinks_rows_by_its_share_of_the_mean_square(name, eps):
    y, *_ = value_and_gradients(name, eps)(X, SCALE, DY)
    mean_square = np.mean(np.square(X.astype(np.float64)), 1, keepdims=True)
    whole = X / np.sqrt(mean_square) * SCALE
    np.testing.assert_allclose(y, whole / np.sqrt(1 + eps / mean_square), **LAYER)


@NAMES
def test_float16_rows_of_1e4_do_not_overflow(name):
    """A square of 1e8 is above the largest float16, 65,504."""
    x, dy = (1e4 * np.sign(X) + X).astype(np.float16), DY.astype(np.float16)
    y, dx, dscale = value_and_gradients(name, 1e-6)(x, SCALE.astype(np.float16), dy)
    assert (y.dtype, dx.dtype, dscale.dtype) == (jnp.float16,) * 3
    exact = reference(x.astype(np.float32), SCALE)
    np.testing.assert_allclose(y, exact, **HALF)
    assert np.all(np.isfinite(dx)) and np.all(np.isfinite(dscale))


@NAMES
def test_a_row_of_zeros_is_zero_and_its_gradient_is_large_not_nan(name):
    x = np.zeros_like(X)
    y, dx, dscale = value_and_gradients(name, 1e-6)(x, SCALE, DY)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(dx, DY * SCALE * 1e3, **LAYER)
    np.testing.assert_array_equal(dscale, np.zeros_like(SCALE))


def test_a_scale_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"scale has the shape \(3,\); accepted: \(45,\)"):
        rms_norm(X, np.ones(3, np.float32))
