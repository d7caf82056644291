import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.norms import group_norm, layer_norm, rms_norm
from panorax.testing.tolerances import COARSE, LAYER, NUMBER

X = 2 + 3 * jax.random.normal(jax.random.key(0), (2, 3, 8))
ONE, ZERO = jnp.ones(8), jnp.zeros(8)
rms = jax.jit(rms_norm, static_argnames="eps")


def test_outputs_have_the_moments_of_their_norm():
    np.testing.assert_allclose(np.mean(np.square(rms_norm(X, ONE, 0.0)), -1), 1, **NUMBER)
    y = np.asarray(layer_norm(X, ONE, ZERO, 0.0))
    np.testing.assert_allclose(y.mean(-1), 0, **LAYER)
    np.testing.assert_allclose(y.std(-1), 1, **NUMBER)
    z = np.asarray(group_norm(X, ONE, ZERO, 2, 0.0)).reshape(2, 3, 2, 4)
    np.testing.assert_allclose(z.mean((1, 3)), 0, **LAYER)
    np.testing.assert_allclose(z.std((1, 3)), 1, **NUMBER)


@given(st.floats(0.1, 100))
def test_rms_norm_is_invariant_to_scale(factor):
    scaled = rms(X * np.float32(factor), ONE, eps=0.0)
    np.testing.assert_allclose(scaled, rms(X, ONE, eps=0.0), **NUMBER)


def test_bfloat16_input_uses_float32_statistics_and_gives_bfloat16():
    half = jnp.asarray(1000 + X, jnp.bfloat16)
    y = layer_norm(half, ONE, ZERO, 1e-5)
    assert y.dtype == jnp.bfloat16
    exact = layer_norm(half.astype(jnp.float32), ONE, ZERO, 1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, **COARSE)


def test_groups_must_divide_channels():
    with pytest.raises(ValueError, match="3 groups"):
        group_norm(X, ONE, ZERO, 3, 1e-5)
