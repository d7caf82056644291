import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from panorax.maths.inference.gaussian_family import (
    Gaussian,
    elbo,
    fit,
    kl_gaussians,
    kl_to_standard_normal,
    start,
)
from panorax.testing.tolerances import NUMBER

NOISE = {"rtol": 0.02, "atol": 0.06}
"""sampling error of the moments of 20,000 draws"""
FITTED = {"rtol": 0.03, "atol": 0.01}
"""error of a fit by stochastic gradients"""
ROUGHLY = {"rtol": 0.1}
"""error of a mean-field fit by stochastic gradients"""

KEY = jax.random.key(0)
FEW = dict(steps=800, samples=16, lr=0.05)
MEAN, PRECISION = np.array([1.0, -2.0]), np.array([[4.0, 1.5], [1.5, 1.0]])


def log_joint(z):
    """A Gaussian posterior with evidence log 3."""
    mean = jnp.asarray(MEAN, jnp.float32)
    covariance = jnp.asarray(np.linalg.inv(PRECISION), jnp.float32)
    return jnp.log(3.0) + jax.scipy.stats.multivariate_normal.logpdf(z, mean, covariance)


@given(st.integers(0, 2**32 - 1))
def test_kl_of_gaussians_follows_from_entropies_and_moments(seed):
    rng = np.random.default_rng(seed)
    means, lower = rng.normal(size=(2, 3)), np.tril(rng.normal(size=(2, 3, 3)), -1)
    factors = lower * 0.5 + np.eye(3) * rng.uniform(0.5, 2, (2, 1, 3))
    q, p = (stats.multivariate_normal(m, f @ f.T) for m, f in zip(means, factors, strict=True))
    precision, difference = np.linalg.inv(p.cov), means[1] - means[0]
    excess = np.trace(precision @ q.cov) - 3 + difference @ precision @ difference
    exact = p.entropy() - q.entropy() + 0.5 * excess
    arguments = (means[0], factors[0], means[1], factors[1])
    kl = kl_gaussians(*(jnp.asarray(a, jnp.float32) for a in arguments))
    np.testing.assert_allclose(kl, exact, **NUMBER)


def test_kl_to_a_standard_normal_is_the_kl_of_gaussians():
    assert float(kl_to_standard_normal(jnp.array([1.0]), jnp.zeros(1))) == 0.5
    mean, log_variance = jnp.array([0.3, -1.0]), jnp.array([0.5, -0.2])
    np.testing.assert_allclose(
        kl_to_standard_normal(mean, log_variance),
        kl_gaussians(mean, jnp.diag(jnp.exp(log_variance / 2)), jnp.zeros(2), jnp.eye(2)),
        **NUMBER,
    )


def test_samples_and_entropy_match_the_gaussian():
    scale, lower = jnp.array([0.5, 2.0]), jnp.array([[9.0, 9.0], [1.5, 9.0]])
    q = Gaussian(jnp.array([1.0, 2.0]), jnp.log(scale), lower)
    covariance = np.asarray(q.factor() @ q.factor().T)
    np.testing.assert_allclose(covariance, [[0.25, 0.75], [0.75, 2.25 + 4]], **NUMBER)
    x = np.asarray(q.sample(KEY, 20_000))
    np.testing.assert_allclose(x.mean(0), [1, 2], **NOISE)
    np.testing.assert_allclose(np.cov(x.T), covariance, **NOISE)
    exact = stats.multivariate_normal([1, 2], covariance).entropy()
    np.testing.assert_allclose(q.entropy(), exact, **NUMBER)


def test_full_rank_finds_the_posterior_and_the_evidence():
    q, bounds = fit(log_joint, start(2, "full_rank"), KEY, **FEW)
    covariance = q.factor() @ q.factor().T
    np.testing.assert_allclose(q.mean, MEAN, **FITTED)
    np.testing.assert_allclose(covariance, np.linalg.inv(PRECISION), **FITTED)
    np.testing.assert_allclose(elbo(q, KEY, log_joint, 4000), np.log(3), **FITTED)
    assert bounds[0] < bounds[-1]


def test_mean_field_finds_the_mean_and_the_inverse_diagonal_precisions():
    q, _ = fit(log_joint, start(2, "mean_field"), KEY, **FEW)
    np.testing.assert_allclose(q.mean, MEAN, **ROUGHLY)
    np.testing.assert_allclose(jnp.exp(2 * q.log_scale), 1 / np.diag(PRECISION), **ROUGHLY)
    assert float(elbo(q, KEY, log_joint, 2000)) < np.log(3) - 0.1
