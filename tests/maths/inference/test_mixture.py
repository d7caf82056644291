import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from panorax.data import datasets
from panorax.maths.inference.mixture import (
    KINDS,
    Mixture,
    e_step,
    elbo,
    fit,
    k_means,
    log_joint,
    log_likelihood,
    sample_mixture,
)
from panorax.testing.tolerances import LAYER, MODEL, NUMBER

NOISE = {"atol": 0.06}
"""sampling error of the moments of 20,000 draws"""

KEY = jax.random.key(0)
SKLEARN = {"full": "full", "diagonal": "diag", "tied": "tied"}
X, _ = datasets.iris()
LABEL = np.asarray(k_means(KEY, X, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_scikit_learns_step_for_step(kind):
    ours, bounds = fit(X, jax.nn.one_hot(LABEL, 3), kind, 7, 1e-3)
    theirs = GaussianMixture(3, covariance_type=SKLEARN[kind], reg_covar=1e-3, max_iter=7, tol=0.0)
    theirs._initialize(X.astype(np.float64), np.eye(3)[LABEL])
    for _ in range(7):
        mean_log_likelihood, log_r = theirs._e_step(X.astype(np.float64))
        theirs._m_step(X.astype(np.float64), log_r)
    np.testing.assert_allclose(bounds[-1, 1], mean_log_likelihood, **NUMBER)
    np.testing.assert_allclose(ours.weight, theirs.weights_, **LAYER)
    np.testing.assert_allclose(ours.mean, theirs.means_, **LAYER)
    covariances = {"full": theirs.covariances_, "tied": np.stack([theirs.covariances_] * 3)}
    expected = (
        covariances[kind]
        if kind != "diagonal"
        else np.stack([np.diag(c) for c in theirs.covariances_])
    )
    np.testing.assert_allclose(ours.covariance, expected, **LAYER)
    np.testing.assert_allclose(log_likelihood(ours, X), theirs.score_samples(X), **MODEL)


@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_the_bound_never_falls_and_is_tight_after_an_e_step(seed, kind):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 2)).astype(np.float32) * rng.uniform(0.2, 3, 2).astype(np.float32)
    mixture, bounds = fit(
        x,
        jnp.asarray(rng.dirichlet(np.ones(3), 20), jnp.float32),
        kind,
        6,
        0.0 if kind == "tied" else 1e-2,
    )
    if kind == "tied":
        assert np.diff(np.ravel(bounds)).min() > -1e-3
    assert (np.asarray(bounds[:, 1] - bounds[:, 0]) > -1e-4).all()
    any_r = jnp.asarray(rng.dirichlet(np.ones(3), 20), jnp.float32)
    assert (elbo(mixture, x, any_r) <= log_likelihood(mixture, x) + 1e-4).all()
    np.testing.assert_allclose(
        elbo(mixture, x, e_step(mixture, x)), log_likelihood(mixture, x), **NUMBER
    )


def test_a_hard_assignment_has_a_bound_too():
    mixture, _ = fit(X, jax.nn.one_hot(LABEL, 3), "full", 2, 1e-3)
    np.testing.assert_allclose(
        elbo(mixture, X, jax.nn.one_hot(LABEL, 3)),
        np.asarray(log_joint(mixture, X))[np.arange(150), LABEL],
        **NUMBER,
    )


def test_samples_have_the_moments_of_the_mixture():
    mixture = Mixture(
        jnp.array([0.25, 0.75]),
        jnp.array([[0.0, 0.0], [4.0, 2.0]]),
        jnp.array([[[1.0, 0.5], [0.5, 1.0]]] * 2),
    )
    x = np.asarray(sample_mixture(mixture, KEY, 20_000))
    np.testing.assert_allclose(x.mean(0), [3, 1.5], **NOISE)
    between = 0.25 * 0.75 * np.outer([4, 2], [4, 2])
    np.testing.assert_allclose(np.cov(x.T), between + [[1, 0.5], [0.5, 1]], **NOISE)


def test_one_component_is_the_normal_distribution():
    mixture, _ = fit(X, jnp.ones((150, 1)), "full", 2, 0.0)
    np.testing.assert_allclose(mixture.mean[0], X.mean(0), **NUMBER)
    np.testing.assert_allclose(mixture.covariance[0], np.cov(X.T, bias=True), **NUMBER)


def test_duplicates_and_one_point_do_not_break_a_component():
    mixture, bounds = fit(jnp.ones((5, 2)), jax.nn.one_hot(jnp.arange(5) % 2, 2), "full", 3, 1e-3)
    assert np.isfinite(bounds).all() and np.isfinite(mixture.covariance).all()


def test_fewer_points_than_components_are_refused():
    with pytest.raises(ValueError, match="2 points cannot start 3 components"):
        k_means(KEY, X[:2], 3)


def test_k_means_starts_far_from_the_means_before():
    """One point far from many equal ones is always drawn as a start."""
    x = jnp.zeros((40, 2)).at[7].set(9.0)
    components = jax.vmap(lambda key: k_means(key, x, 2, steps=0))(jax.random.split(KEY, 8))
    alone = np.asarray(components == components[:, 7:8]).sum(1)
    np.testing.assert_array_equal(alone, np.ones(8))
