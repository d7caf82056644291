import jax
import jax.numpy as jnp
import numpy as np

from panorax.ops.losses import cross_entropy, weighted_mean

LOGITS = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_cross_entropy_and_its_gradient():
    label = jnp.array([2, 0])
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    np.testing.assert_allclose(cross_entropy(LOGITS, label), -np.log(p[[0, 1], label]), rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(cross_entropy(x, label)))(LOGITS)
    np.testing.assert_allclose(gradient, p - np.eye(3)[label], atol=1e-6)


def test_cross_entropy_is_finite_at_huge_logits():
    assert float(cross_entropy(jnp.array([1e4, -1e4]), jnp.array(1))) == 2e4


def test_weighted_mean():
    x = jnp.array([1.0, 2.0, 30.0])
    assert float(weighted_mean(x, jnp.array([1.0, 3.0, 0.0]))) == 1.75
    assert float(weighted_mean(x, jnp.zeros(3))) == 0
