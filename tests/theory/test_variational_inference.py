import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.maths.inference.gaussian_family import (
    Gaussian,
    elbo,
    fit,
    kl_gaussians,
    kl_to_standard_normal,
    start,
)
from panorax.maths.inference.hamiltonian import chains, potential_scale_reduction
from panorax.theory.variational_inference import Config, linear_posterior, study

KEY = jax.random.key(0)
FEW = dict(steps=800, samples=16, lr=0.05)
MEAN, PRECISION = np.array([1.0, -2.0]), np.array([[4.0, 1.5], [1.5, 1.0]])


def log_normal(z):
    """A Gaussian posterior with the evidence log 3."""
    return jnp.log(3.0) + jax.scipy.stats.multivariate_normal.logpdf(
        z, jnp.asarray(MEAN, jnp.float32), jnp.asarray(np.linalg.inv(PRECISION), jnp.float32)
    )


@given(st.integers(0, 2**32 - 1))
def test_the_divergence_of_gaussians(seed):
    rng = np.random.default_rng(seed)
    means, factors = (
        rng.normal(size=(2, 3)),
        np.tril(rng.normal(size=(2, 3, 3)), -1) * 0.5 + np.eye(3) * rng.uniform(0.5, 2, (2, 1, 3)),
    )
    q, p = (stats.multivariate_normal(m, f @ f.T) for m, f in zip(means, factors, strict=True))
    precision = np.linalg.inv(factors[1] @ factors[1].T)
    exact = (
        p.entropy()
        - q.entropy()
        + 0.5
        * (
            np.trace(precision @ (factors[0] @ factors[0].T))
            - 3
            + (means[1] - means[0]) @ precision @ (means[1] - means[0])
        )
    )
    found = kl_gaussians(
        *(jnp.asarray(a, jnp.float32) for a in (means[0], factors[0], means[1], factors[1]))
    )
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-4)


def test_the_divergence_from_a_standard_normal():
    assert float(kl_to_standard_normal(jnp.array([1.0]), jnp.zeros(1))) == 0.5
    mean, log_variance = jnp.array([0.3, -1.0]), jnp.array([0.5, -0.2])
    np.testing.assert_allclose(
        kl_to_standard_normal(mean, log_variance),
        kl_gaussians(mean, jnp.diag(jnp.exp(log_variance / 2)), jnp.zeros(2), jnp.eye(2)),
        rtol=1e-5,
    )


def test_samples_and_entropy_are_those_of_the_gaussian():
    q = Gaussian(
        jnp.array([1.0, 2.0]), jnp.log(jnp.array([0.5, 2.0])), jnp.array([[9.0, 9.0], [1.5, 9.0]])
    )
    covariance = np.asarray(q.factor() @ q.factor().T)
    np.testing.assert_allclose(covariance, [[0.25, 0.75], [0.75, 2.25 + 4]], rtol=1e-5)
    x = np.asarray(q.sample(KEY, 20_000))
    np.testing.assert_allclose(x.mean(0), [1, 2], atol=0.06)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.2)
    np.testing.assert_allclose(
        q.entropy(), stats.multivariate_normal([1, 2], covariance).entropy(), rtol=1e-5
    )


def test_full_rank_finds_the_posterior_and_the_evidence_and_a_mean_field_the_inverse_precisions():
    q, bounds = fit(log_normal, start(2, "full_rank"), KEY, **FEW)
    np.testing.assert_allclose(q.mean, MEAN, atol=0.05)
    np.testing.assert_allclose(
        q.factor() @ q.factor().T, np.linalg.inv(PRECISION), rtol=0.03, atol=0.01
    )
    np.testing.assert_allclose(elbo(q, KEY, log_normal, 4000), np.log(3), atol=0.04)
    assert bounds[0] < bounds[-1]
    q, _ = fit(log_normal, start(2, "mean_field"), KEY, **FEW)
    np.testing.assert_allclose(q.mean, MEAN, atol=0.1)
    np.testing.assert_allclose(jnp.exp(2 * q.log_scale), 1 / np.diag(PRECISION), rtol=0.1)
    assert float(elbo(q, KEY, log_normal, 2000)) < np.log(3) - 0.1


def test_hamiltonian_monte_carlo_draws_from_the_posterior():
    zs, accepted = chains(
        log_normal,
        jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32),
        jnp.eye(2),
        KEY,
        draws=1000,
        leapfrog=8,
    )
    draws = np.asarray(zs).reshape(-1, 2)
    np.testing.assert_allclose(draws.mean(0), MEAN, atol=0.12)
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(PRECISION), rtol=0.2, atol=0.1)
    assert 0.6 < float(accepted) < 0.95 and float(potential_scale_reduction(zs).max()) < 1.05


def test_chains_that_disagree_are_seen():
    apart = jnp.asarray(
        np.random.default_rng(0).normal(size=(3, 100, 1)) + np.array([0, 0, 3])[:, None, None]
    )
    assert float(potential_scale_reduction(apart)[0]) > 1.5


def test_the_linear_posterior_is_bayes_rule():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=6)
    mean, precision, evidence = linear_posterior(x, y, 0.5, 2.0)
    w = rng.normal(size=2)
    joint = stats.norm.logpdf(y, x @ w, 0.5).sum() + stats.norm.logpdf(w, 0, 2).sum()
    assert evidence == pytest.approx(
        joint - stats.multivariate_normal(mean, np.linalg.inv(precision)).logpdf(w), abs=1e-9
    )


def test_data_are_as_described():
    x, y = datasets.diabetes()
    np.testing.assert_allclose([x.mean(), x.std(0).mean(), y.std()], [0, 1, 1], atol=1e-5)
    x, label, held_x, held_label = datasets.breast_cancer()
    assert len(x) + len(held_x) == 569 and {*held_label} == {0.0, 1.0}
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-4)


def test_the_study_measures_what_it_names():
    metrics = study(
        Config(steps=300, samples=4, lr=0.1, draws=40, leapfrog=4, hidden=4), KEY
    ).metrics
    assert (
        metrics["linear_spread_over_exact_mean_field"] < 0.9
        and metrics["linear_evidence_gap_mean_field"] > 0
    )
    assert np.isfinite([*metrics.values()]).all()


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="chains must be at least 2"):
        Config(chains=1)
