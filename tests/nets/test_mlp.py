import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec
from panorax.nets import mlp


def test_the_nonlinearity_follows_every_map():
    params = spec.init(mlp.spec((3, 5, 2)), jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    (w1, b1), (w2, b2) = ((np.asarray(p["w"]), np.asarray(p["b"])) for p in params)
    np.testing.assert_allclose(
        jax.jit(mlp.apply)(params, x), np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2), atol=1e-6
    )
    assert mlp.apply(params, jnp.zeros((0, 3))).shape == (0, 2)
    assert mlp.apply(params, jnp.zeros(3)).shape == (2,)


def test_unit_inputs_give_outputs_of_the_size_of_the_gain():
    w = spec.init(mlp.dense_spec(256, 512, mlp.fan_in(2.0)), jax.random.key(0))["w"]
    x = jax.random.normal(jax.random.key(1), (64, 256))
    np.testing.assert_allclose(jnp.std(x @ w), 2.0, rtol=0.05)
