import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from panorax.core import spec as core_spec
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
X, HELD = (jnp.asarray(some) for some in images())


def test_probabilistic_pca_is_scikit_learns():
    mean, w, noise = ppca(X, 5)
    pca = PCA(5).fit(np.asarray(X, np.float64))
    n = len(X)
    np.testing.assert_allclose(noise, pca.noise_variance_ * (n - 1) / n, rtol=1e-5)
    np.testing.assert_allclose(
        w @ w.T + noise * np.eye(64), pca.get_covariance() * (n - 1) / n, atol=1e-5
    )
    exact = stats.multivariate_normal(mean, w @ w.T + noise * np.eye(64)).logpdf(HELD)
    np.testing.assert_allclose(ppca_log_likelihood(HELD, mean, w, noise), exact, rtol=1e-8)


def linear(params, latent):
    """The parameters of the linear autoencoder that is probabilistic PCA, and that model: its encoder gives the exact posterior."""
    mean, w, noise = ppca(X, latent)
    inverse = np.linalg.inv(w.T @ w + noise * np.eye(latent))
    to_mean = inverse @ w.T
    encoder = np.concatenate([to_mean, np.zeros_like(to_mean)]).T
    bias = np.concatenate([-to_mean @ mean, np.log(noise * np.diag(inverse))])
    exact = {
        "encoded": {"w": encoder, "b": bias},
        "decoded": {"w": w.T, "b": mean},
        "log_variance": np.log(noise),
    }
    return params | jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), exact), (mean, w, noise)


def test_the_bound_of_the_linear_autoencoder_is_the_likelihood_for_any_number_of_samples():
    params, fitted = linear(core_spec.init(spec(Config(latent=3, hidden=())), KEY), 3)
    exact = ppca_log_likelihood(HELD, *fitted)
    for k in (1, 7):
        np.testing.assert_allclose(importance_bound(params, HELD, KEY, k), exact, atol=2e-2)
    bounds = jax.vmap(lambda key: elbo(params, HELD, key)[0])(jax.random.split(KEY, 500))
    np.testing.assert_allclose(jnp.mean(bounds), exact.mean(), atol=0.1)


def test_more_samples_tighten_a_bound_that_is_not_tight():
    params = core_spec.init(spec(Config(latent=2, hidden=(8,))), KEY)
    one, many = (float(jnp.mean(importance_bound(params, HELD, KEY, k))) for k in (1, 50))
    assert one < many
    bounds = jax.vmap(lambda key: elbo(params, HELD, key)[0])(jax.random.split(KEY, 200))
    singles = jax.vmap(lambda key: importance_bound(params, HELD, key, 1))(
        jax.random.split(KEY, 200)
    )
    np.testing.assert_allclose(jnp.mean(bounds), jnp.mean(singles), rtol=2e-3)


def test_shapes_and_bad_input():
    params = core_spec.init(spec(Config(latent=2, hidden=(8, 4))), KEY)
    mean, log_variance = encode(params, X[:3])
    assert mean.shape == log_variance.shape == (3, 2) and decode(params, mean).shape == (3, 64)
    with pytest.raises(ValueError, match="64 latent dimensions are not fewer than the 64"):
        ppca(X, 64)
