import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from panorax.core import spec
from panorax.nets.convolutional import convnet

PARAMS = {
    **spec.init(convnet.conv_spec(2, 3), jax.random.key(0)),
    "b": np.array([0.5, -1.0, 2.0], np.float32),
}
conv = jax.jit(convnet.conv, static_argnames="stride")


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (8, 8)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_is_scipys_correlation(size, stride):
    x = np.random.default_rng(0).normal(size=(2, *size, 2)).astype(np.float32)
    whole = np.stack(
        [
            sum(correlate(image[..., i], PARAMS["w"][..., i, o], "same") for i in range(2))
            for image in x
            for o in range(3)
        ]
    )
    whole = whole.reshape(2, 3, *size).transpose(0, 2, 3, 1)
    whole = whole + PARAMS["b"]
    if stride == 2:  # SAME padding of an even side starts at the second position
        whole = whole[:, (size[0] + 1) % 2 :: 2, (size[1] + 1) % 2 :: 2]
    np.testing.assert_allclose(conv(PARAMS, x, stride=stride), whole, atol=1e-5)


def test_images_of_a_batch_do_not_see_each_other():
    params = spec.init(convnet.spec((1, 4, 4)), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 7, 5, 1))
    whole, alone = jax.jit(convnet.apply)(params, x), jax.jit(convnet.apply)(params, x[1:2])
    assert whole.shape == (3, 4)
    np.testing.assert_allclose(whole[1], alone[0], atol=1e-6)
    assert jnp.all(whole >= 0)
