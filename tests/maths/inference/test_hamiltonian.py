import jax
import jax.numpy as jnp
import numpy as np

from panorax.maths.inference.hamiltonian import chains, potential_scale_reduction

NOISE = {"atol": 0.12}
"""sampling error of the mean of 4,000 dependent draws"""
SPREAD = {"rtol": 0.2, "atol": 0.1}
"""sampling error of the covariance of 4,000 dependent draws"""

MEAN, COVARIANCE = np.array([1.0, -2.0]), np.linalg.inv(np.array([[4.0, 1.5], [1.5, 1.0]]))


def log_density(z):
    """A Gaussian that is not normalised."""
    mean, covariance = jnp.asarray(MEAN, jnp.float32), jnp.asarray(COVARIANCE, jnp.float32)
    return jnp.log(3.0) + jax.scipy.stats.multivariate_normal.logpdf(z, mean, covariance)


def test_chains_draw_from_the_density():
    starts = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    zs, accepted = chains(
        log_density, starts, jnp.eye(2), jax.random.key(0), draws=1000, leapfrog=8
    )
    draws = np.asarray(zs).reshape(-1, 2)
    np.testing.assert_allclose(draws.mean(0), MEAN, **NOISE)
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, **SPREAD)
    assert 0.6 < float(accepted) < 0.95 and float(potential_scale_reduction(zs).max()) < 1.05


def test_chains_that_disagree_have_a_large_scale_reduction():
    noise = np.random.default_rng(0).normal(size=(3, 100, 1))
    apart = jnp.asarray(noise + np.array([0, 0, 3])[:, None, None])
    assert float(potential_scale_reduction(apart)[0]) > 1.5
