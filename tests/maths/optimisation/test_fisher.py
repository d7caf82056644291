import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from scipy import stats

from panorax.maths.optimisation.fisher import (
    BERNOULLI,
    CATEGORICAL,
    GAUSSIAN,
    empirical_fisher_matrix,
    fisher_matrix,
    fisher_product,
    fisher_root_product,
    natural_gradient,
    natural_gradient_by_products,
    sampled_fisher_matrix,
)
from panorax.testing.tolerances import LAYER, MODEL, NUMBER

NOISE = {"atol": 0.04}
"""sampling error of the moments of 20,000 draws"""

FAMILIES = {"gaussian": GAUSSIAN, "bernoulli": BERNOULLI, "categorical": CATEGORICAL}
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(8, 3)), jnp.float32)
PARAMS = {
    "w": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32),
    "v": jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32),
}
V = jax.tree.map(jnp.cos, PARAMS)
Z = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)


def outputs(params):
    return jnp.tanh(X @ params["w"]) @ params["v"]


MATRICES = {
    name: jax.jit(lambda params, family=family: fisher_matrix(outputs, family, params))
    for name, family in FAMILIES.items()
}


@pytest.mark.parametrize("name", FAMILIES)
def test_root_mean_and_samples_match_the_log_partition(name):
    family = FAMILIES[name]
    root = family.root(Z)
    hessian = jax.vmap(jax.hessian(lambda z: family.log_partition(z[None])[0]))(Z)
    np.testing.assert_allclose(jnp.einsum("NKR,NLR->NKL", root, root), hessian, **NUMBER)
    t = np.asarray(
        jax.vmap(lambda key: family.sample(key, Z))(jax.random.split(jax.random.key(0), 20_000))
    )
    np.testing.assert_allclose(t.mean(0), family.mean(Z), **NOISE)
    for n in range(len(Z)):
        np.testing.assert_allclose(np.cov(t[:, n].T), hessian[n], **NOISE)


def test_losses_match_scipys_log_densities():
    t, bits = Z[::-1], jnp.asarray(RNG.integers(0, 2, (5, 3)), jnp.float32)
    one_hot = jax.nn.one_hot(jnp.array([0, 2, 1, 1, 0]), 3)
    constant = 0.5 * np.sum(np.square(t), 1) + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(
        GAUSSIAN.loss(Z, t) + constant, -stats.norm(Z).logpdf(t).sum(1), **NUMBER
    )
    np.testing.assert_allclose(
        BERNOULLI.loss(Z, bits), -stats.bernoulli(jax.nn.sigmoid(Z)).logpmf(bits).sum(1), **NUMBER
    )
    p = np.asarray(jax.nn.softmax(Z), np.float64)
    log_mass = [
        stats.multinomial(1, q / q.sum()).logpmf(np.asarray(t))
        for q, t in zip(p, one_hot, strict=True)
    ]
    np.testing.assert_allclose(CATEGORICAL.loss(Z, one_hot), -np.array(log_mass), **NUMBER)


@pytest.mark.parametrize("name", FAMILIES)
def test_products_and_samples_agree_with_the_matrix(name):
    family, exact = FAMILIES[name], np.asarray(MATRICES[name](PARAMS))
    v = np.asarray(ravel_pytree(V)[0])
    np.testing.assert_allclose(
        ravel_pytree(fisher_product(outputs, family, PARAMS, V))[0], exact @ v, **LAYER
    )
    half = fisher_root_product(outputs, family, PARAMS, V)
    np.testing.assert_allclose(jnp.vdot(half, half), v @ exact @ v, **NUMBER)
    sampled = jax.jit(lambda key: sampled_fisher_matrix(outputs, family, PARAMS, key, 4000))(
        jax.random.key(1)
    )
    assert np.linalg.norm(sampled - exact) < 0.05 * np.linalg.norm(exact)


def test_the_fisher_matrix_is_the_hessian_of_the_kl_divergence():
    f = lambda x, back=ravel_pytree(PARAMS)[1]: outputs(back(x))
    p = jax.nn.softmax(outputs(PARAMS))
    divergence = lambda x: jnp.mean(jnp.sum(p * (jnp.log(p) - jax.nn.log_softmax(f(x))), 1))
    np.testing.assert_allclose(
        MATRICES["categorical"](PARAMS),
        jax.jit(jax.hessian(divergence))(ravel_pytree(PARAMS)[0]),
        **NUMBER,
    )


def test_the_empirical_matrix_is_the_second_moment_of_the_gradients():
    losses = lambda params: CATEGORICAL.loss(outputs(params), jax.nn.one_hot(jnp.arange(8) % 3, 3))
    x, back = ravel_pytree(PARAMS)
    g = jax.jit(jax.jacobian(lambda x: losses(back(x))))(x)
    np.testing.assert_allclose(empirical_fisher_matrix(losses, PARAMS), g.T @ g / 8, **NUMBER)
    exact = MATRICES["categorical"](PARAMS)
    assert np.abs(empirical_fisher_matrix(losses, PARAMS) - exact).max() > 0.01


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 10))
def test_both_natural_gradients_solve_the_damped_system(seed, damping):
    g = jax.tree.map(
        lambda p: jnp.asarray(np.random.default_rng(seed).normal(size=p.shape), jnp.float32), PARAMS
    )
    matrix = MATRICES["categorical"](PARAMS)
    d = natural_gradient(matrix, g, damping)
    flat = ravel_pytree(d)[0]
    np.testing.assert_allclose(matrix @ flat + damping * flat, ravel_pytree(g)[0], **LAYER)
    np.testing.assert_allclose(flat, ravel_pytree(SOLVE(g, damping))[0], **MODEL)


SOLVE = jax.jit(
    lambda g, damping: natural_gradient_by_products(
        lambda v: fisher_product(outputs, CATEGORICAL, PARAMS, v), g, damping, 1e-7
    )
)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="samples must be at least 1"):
        sampled_fisher_matrix(outputs, GAUSSIAN, PARAMS, jax.random.key(0), 0)
    with pytest.raises(ValueError, match="12 numbers needs a matrix of shape"):
        natural_gradient(jnp.eye(3), PARAMS)
    for damping in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="at least 0"):
            natural_gradient(jnp.eye(12), PARAMS, damping)
        with pytest.raises(ValueError, match="at least 0"):
            natural_gradient_by_products(lambda v: v, PARAMS, damping)
    with pytest.raises(ValueError, match="turns must be at least 1"):
        natural_gradient_by_products(lambda v: v, PARAMS, 1.0, turns=0)


def test_a_singular_or_non_finite_matrix_gives_nan():
    assert np.isnan(ravel_pytree(natural_gradient(jnp.zeros((12, 12)), PARAMS))[0]).all()
    assert np.isnan(ravel_pytree(natural_gradient(jnp.eye(12) * jnp.nan, PARAMS))[0]).all()
