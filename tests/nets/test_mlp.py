import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.nets import mlp
from panorax.testing.tolerances import NUMBER

NOISE = {"rtol": 0.05}
"""sampling error of a deviation"""


def test_the_nonlinearity_follows_every_affine_map():
    params = spec.init(mlp.spec((3, 5, 2)), jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    (w1, b1), (w2, b2) = ((np.asarray(p["w"]), np.asarray(p["b"])) for p in params)
    expected = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(jax.jit(mlp.apply)(params, x), expected, **NUMBER)


@pytest.mark.parametrize("batch", [(), (0,), (2, 4)])
def test_any_batch_axes_may_precede_the_features(batch):
    params = spec.init(mlp.spec((3, 5, 2)), jax.random.key(0))
    chex.assert_shape(mlp.apply(params, jnp.zeros((*batch, 3))), (*batch, 2))


def test_unit_inputs_give_outputs_whose_deviation_is_the_gain():
    w = spec.init(mlp.dense_spec(256, 512, mlp.fan_in(2.0)), jax.random.key(0))["w"]
    x = jax.random.normal(jax.random.key(1), (64, 256))
    np.testing.assert_allclose(jnp.std(x @ w), 2.0, **NOISE)
