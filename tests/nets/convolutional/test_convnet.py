import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from panorax.core import spec
from panorax.nets.convolutional import convnet
from panorax.testing.tolerances import LAYER, NUMBER

PARAMS = {
    **spec.init(convnet.conv_spec(2, 3), jax.random.key(0)),
    "b": np.array([0.5, -1.0, 2.0], np.float32),
}
conv = jax.jit(convnet.conv, static_argnames="stride")


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (8, 8)])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_equals_scipys_correlation(size, stride):
    x = np.random.default_rng(0).normal(size=(2, *size, 2)).astype(np.float32)
    channel = lambda image, o: sum(
        correlate(image[..., i], PARAMS["w"][..., i, o], "same") for i in range(2)
    )
    expected = np.stack([[channel(image, o) for o in range(3)] for image in x])
    expected = expected.transpose(0, 2, 3, 1) + PARAMS["b"]
    if stride == 2:  # SAME padding of an even side starts at the second position
        expected = expected[:, (size[0] + 1) % 2 :: 2, (size[1] + 1) % 2 :: 2]
    np.testing.assert_allclose(conv(PARAMS, x, stride=stride), expected, **LAYER)


def test_rows_are_independent_and_features_nonnegative():
    params = spec.init(convnet.spec((1, 4, 4)), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 7, 5, 1))
    features, single = jax.jit(convnet.apply)(params, x), jax.jit(convnet.apply)(params, x[1:2])
    chex.assert_shape(features, (3, 4))
    np.testing.assert_allclose(features[1], single[0], **NUMBER)
    assert jnp.all(features >= 0)
