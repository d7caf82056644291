import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from panorax.maths.optimisation.curvature import (
    empirical_fisher_product,
    gauss_newton_product,
    hessian_product,
    to_vectors,
)
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(0)
PARAMS = {
    "w": jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32),
    "b": jnp.asarray(RNG.normal(size=4), jnp.float32),
}
X, LABEL = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32), jnp.asarray(RNG.integers(0, 4, 6))
V = jax.tree.map(jnp.cos, PARAMS)
VECTOR = ravel_pytree(V)[0]


def outputs(params):
    return jnp.tanh(X @ params["w"]) * 2 + params["b"][None]


def losses(logits):
    return jax.nn.logsumexp(logits, 1) - jnp.take_along_axis(logits, LABEL[:, None], 1)[:, 0]


def mean_loss(params):
    return jnp.mean(losses(outputs(params)))


def assert_close(tree, vector):
    np.testing.assert_allclose(ravel_pytree(tree)[0], vector, **LAYER)


def test_hessian_product_is_the_dense_hessian_times_v():
    f, x, _ = to_vectors(mean_loss, PARAMS)
    hessian = jax.hessian(f)(x)
    assert_close(hessian_product(mean_loss, PARAMS, V), hessian @ VECTOR)
    columns = jax.vmap(lambda v: hessian_product(f, x, v))(jnp.eye(16))
    np.testing.assert_allclose(columns, hessian, **NUMBER)


def test_gauss_newton_product_is_the_dense_fisher_matrix_times_v():
    g, x, _ = to_vectors(outputs, PARAMS)
    jacobian = jax.jacobian(g)(x).reshape(6, 4, -1)
    p = jax.nn.softmax(outputs(PARAMS), 1)
    covariance = [jnp.diag(q) - jnp.outer(q, q) for q in p]
    fisher = sum(j.T @ c @ j for j, c in zip(jacobian, covariance, strict=True)) / 6
    product = gauss_newton_product(outputs, lambda logits: jnp.mean(losses(logits)), PARAMS, V)
    assert_close(product, fisher @ VECTOR)


def test_empirical_fisher_product_is_the_mean_outer_product_of_gradients_times_v():
    f, x, _ = to_vectors(lambda params: losses(outputs(params)), PARAMS)
    gradients = jax.jacobian(f)(x)
    product = empirical_fisher_product(lambda params: losses(outputs(params)), PARAMS, V)
    assert_close(product, gradients.T @ (gradients @ VECTOR) / 6)
