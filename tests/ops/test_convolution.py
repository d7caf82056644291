"""Convolutions and their gradients equal XLA's."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.convolution import conv2d, upsampled_conv2d
from panorax.testing.tolerances import COARSE, LAYER, NUMBER

SEEDS = st.integers(0, 2**32 - 1)
ZEROS, ONES, THREES = (((n, n), (n, n)) for n in (0, 1, 3))


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def reference(x, w, stride=1, padding="SAME"):
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def assert_same(f, g, x, w, atol=LAYER["rtol"]):
    """Outputs are equal, and so are products of a random cotangent with the Jacobians."""
    out, pull_back = jax.vjp(f, x, w)
    expected, expected_pull_back = jax.vjp(g, x, w)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, expected)
    cotangent = draw(7, out.shape)[0].astype(out.dtype)
    ours, theirs = (out, *pull_back(cotangent)), (expected, *expected_pull_back(cotangent))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol * max(1, float(jnp.abs(b).max())))


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("stride, padding", [(1, "SAME"), (2, "SAME"), (1, ONES), (2, ONES)])
@pytest.mark.parametrize("Y, X", [(4, 6), (5, 3)])
def test_conv2d_equals_xlas_convolution(width, stride, padding, Y, X):
    x, w = draw(0, (2, Y, X, 2), (width, width, 2, 3))
    ours, theirs = (
        jax.jit(lambda x, w, f=f: f(x, w, stride, padding)) for f in (conv2d, reference)
    )
    assert_same(ours, theirs, x, w)


@pytest.mark.parametrize("width, padding", [(1, ZEROS), (3, ONES), (7, THREES)])
def test_explicit_padding_halves_an_odd_or_even_grid(width, padding):
    x, w = draw(0, (2, 6, 9, 2), (width, width, 2, 3))
    ours, theirs = (jax.jit(lambda x, w, f=f: f(x, w, 2, padding)) for f in (conv2d, reference))
    assert ours(x, w).shape == (2, 3, 5, 3)
    assert_same(ours, theirs, x, w)


def test_a_kernel_of_one_pixel_is_a_matrix_product():
    x, w = draw(0, (2, 5, 4, 2), (1, 1, 2, 3))
    for padding in ("SAME", ZEROS):
        assert "conv" not in str(jax.make_jaxpr(lambda x, w: conv2d(x, w, 2, padding))(x, w))


@given(SEEDS)
def test_kernels_may_be_rectangular(seed):
    x, w = draw(seed, (2, 5, 4, 2), (3, 2, 2, 3))
    assert_same(jax.jit(conv2d), jax.jit(reference), x, w)


@pytest.mark.parametrize("Y, X", [(4, 3), (1, 1)])
def test_upsampled_conv2d_equals_conv2d_of_repeated_pixels(Y, X):
    x, w = draw(0, (2, Y, X, 2), (3, 3, 2, 3))
    repeated = jax.jit(lambda x, w: reference(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), w))
    assert_same(jax.jit(upsampled_conv2d), repeated, x, w)


def test_accelerators_use_xlas_own_gradient(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, w = draw(0, (1, 4, 4, 2), (3, 3, 2, 2))
    assert "custom_vjp" not in str(jax.make_jaxpr(conv2d)(x, w))


@pytest.mark.parametrize("width", [1, 3])
def test_half_precision_is_kept(width):
    x, w = (a.astype(jnp.bfloat16) for a in draw(0, (2, 4, 4, 16), (width, width, 16, 16)))
    y = jax.jit(conv2d)(x, w)
    assert y.dtype == jnp.bfloat16
    exact = reference(x.astype(jnp.float32), w.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, **COARSE)


def test_second_derivatives_equal_xlas():
    x, w = draw(0, (1, 4, 4, 2), (3, 3, 2, 2))

    def second(f):
        slope = lambda w: jax.grad(lambda x: jnp.sum(f(x, w) ** 3))(x)
        return jax.jit(jax.grad(lambda w: jnp.sum(slope(w) ** 2)))(w)

    ours, theirs = second(conv2d), second(reference)
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=NUMBER["rtol"] * float(jnp.abs(theirs).max())
    )
