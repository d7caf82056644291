import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from panorax.core import spec as core_spec
from panorax.testing.tolerances import DOUBLE, MODEL, NUMBER
from panorax.theory.elbo import (
    Config,
    decode,
    elbo,
    encode,
    images,
    importance_bound,
    ppca,
    ppca_log_likelihood,
    spec,
)

KEY = jax.random.key(0)
X, HELD = (jnp.asarray(split) for split in images())


def test_probabilistic_pca_agrees_with_scikit_learn():
    model = ppca(X, 5)
    pca = PCA(5).fit(np.asarray(X, np.float64))
    n = len(X)
    covariance = model.w @ model.w.T + model.noise * np.eye(64)
    np.testing.assert_allclose(model.noise, pca.noise_variance_ * (n - 1) / n, **NUMBER)
    np.testing.assert_allclose(covariance, pca.get_covariance() * (n - 1) / n, **NUMBER)
    exact = stats.multivariate_normal(model.mean, covariance).logpdf(HELD)
    np.testing.assert_allclose(ppca_log_likelihood(HELD, model), exact, **DOUBLE)


def linear_parameters(params, model):
    """Parameters of the linear autoencoder that equals `model` and encodes the exact posterior."""
    latent = model.w.shape[1]
    inverse = np.linalg.inv(model.w.T @ model.w + model.noise * np.eye(latent))
    to_mean = inverse @ model.w.T
    log_variance = np.log(model.noise * np.diag(inverse))
    exact = {
        "encoded": {
            "w": np.concatenate([to_mean, np.zeros_like(to_mean)]).T,
            "b": np.concatenate([-to_mean @ model.mean, log_variance]),
        },
        "decoded": {"w": model.w.T, "b": model.mean},
        "log_variance": np.log(model.noise),
    }
    return params | jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), exact)


def test_the_bound_of_the_linear_autoencoder_is_the_likelihood_for_any_number_of_samples():
    model = ppca(X, 3)
    params = linear_parameters(core_spec.init(spec(Config(latent=3, hidden=())), KEY), model)
    exact = ppca_log_likelihood(HELD, model)
    for k in (1, 7):
        np.testing.assert_allclose(importance_bound(params, HELD, KEY, k), exact, **NUMBER)
    bounds = jax.vmap(lambda key: elbo(params, HELD, key)[0])(jax.random.split(KEY, 500))
    np.testing.assert_allclose(jnp.mean(bounds), exact.mean(), **NUMBER)


def test_more_samples_tighten_a_bound_that_is_not_tight():
    params = core_spec.init(spec(Config(latent=2, hidden=(8,))), KEY)
    loose, tight = (float(jnp.mean(importance_bound(params, HELD, KEY, k))) for k in (1, 50))
    assert loose < tight


def test_the_importance_bound_of_one_sample_is_the_elbo():
    params = core_spec.init(spec(Config(latent=2, hidden=(8,))), KEY)
    keys = jax.random.split(KEY, 200)
    elbos = jax.vmap(lambda key: elbo(params, HELD, key)[0])(keys)
    bounds = jax.vmap(lambda key: importance_bound(params, HELD, key, 1))(keys)
    np.testing.assert_allclose(jnp.mean(elbos), jnp.mean(bounds), **MODEL)


def test_shapes_and_bad_input():
    params = core_spec.init(spec(Config(latent=2, hidden=(8, 4))), KEY)
    mean, log_variance = encode(params, X[:3])
    chex.assert_shape([mean, log_variance], (3, 2))
    chex.assert_shape(decode(params, mean), (3, 64))
    with pytest.raises(ValueError, match="fewer than the 64 of x, got 64"):
        ppca(X, 64)
