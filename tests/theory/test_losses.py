import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import average_precision_score

from panorax.core import datasets
from panorax.core.errors import UserError
from panorax.ops.losses import binary_cross_entropy, categorical_kl, cross_entropy, focal, gaussian_nll, smoothed_cross_entropy
from panorax.theory.losses import Config, average_precision, picture, study

seeds = st.integers(0, 2**32 - 1)
rng = np.random.default_rng(0)
LOGITS, LABEL = jnp.asarray(rng.normal(size=(6, 5)) * 3, jnp.float32), jnp.asarray(rng.integers(0, 5, 6), jnp.int32)


def test_label_smoothing_is_cross_entropy_with_the_smoothed_distribution():
    target = 0.9 * np.eye(5)[LABEL] + 0.1 / 5
    expected = -(target * special.log_softmax(np.asarray(LOGITS, np.float64), 1)).sum(1)
    np.testing.assert_allclose(smoothed_cross_entropy(LOGITS, LABEL, 0.1), expected, rtol=1e-5)
    np.testing.assert_allclose(smoothed_cross_entropy(LOGITS, LABEL, 0.0), cross_entropy(LOGITS, LABEL), rtol=1e-6)


def test_binary_cross_entropy_is_that_of_two_classes_and_finite():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1, 0, 1])
    two = jnp.stack([jnp.zeros(3), logit], 1)
    np.testing.assert_allclose(binary_cross_entropy(logit, label.astype(jnp.float32)), cross_entropy(two, label), rtol=1e-5)
    far, ones = jnp.array([-1e4, 1e4]), jnp.ones(2)
    np.testing.assert_allclose(binary_cross_entropy(far, ones), [1e4, 0])
    assert np.isfinite(jax.vmap(jax.grad(lambda logit: binary_cross_entropy(logit, jnp.ones(())), 0))(far)).all()


def test_focal_loss():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1.0, 0.0, 1.0])
    p = special.expit(np.asarray(logit, np.float64))
    p_y, alpha = np.where(label == 1, p, 1 - p), np.where(label == 1, 0.25, 0.75)
    np.testing.assert_allclose(focal(logit, label), -alpha * (1 - p_y) ** 2 * np.log(p_y), rtol=1e-5)
    np.testing.assert_allclose(2 * focal(logit, label, 0.0, 0.5), binary_cross_entropy(logit, label), rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda logit, label: focal(logit, label)))(jnp.array([-100.0, 100.0, 100.0]), jnp.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(slope, [-0.25, 0.75, 0], atol=1e-4)


def test_gaussian_nll():
    y, mean, log_variance = (jnp.asarray(rng.normal(size=7), jnp.float32) for _ in range(3))
    np.testing.assert_allclose(gaussian_nll(y, mean, log_variance), -stats.norm.logpdf(y, mean, np.exp(log_variance / 2)), rtol=1e-4)


@given(seeds)
def test_divergence_of_two_distributions(seed):
    p, q = jnp.asarray(np.random.default_rng(seed).normal(size=(2, 3, 4)) * 2, jnp.float32)
    expected = stats.entropy(special.softmax(np.asarray(p, np.float64), 1), special.softmax(np.asarray(q, np.float64), 1), axis=1)
    np.testing.assert_allclose(categorical_kl(p, q), expected, atol=1e-5)
    np.testing.assert_allclose(categorical_kl(p, p + 3), 0, atol=1e-5)


def test_divergence_leaves_out_what_cannot_happen():
    np.testing.assert_allclose(categorical_kl(jnp.array([0.0, -jnp.inf]), jnp.zeros(2)), np.log(2), rtol=1e-6)


@given(seeds)
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 30)
    label[0], score = 1, rng.integers(0, 8, 30) / 8
    assert average_precision(score, label) == pytest.approx(average_precision_score(label, score), abs=1e-12)


def test_a_picture_has_the_windows_that_it_should():
    x, label, *_ = datasets.digits()
    cfg = Config(rare=3, others=4)
    windows, target = picture(np.random.default_rng(0), x, label, cfg)
    assert windows.shape == (89**2, 64) and target.sum() == 3
    whole = windows[target == 1]
    assert all((np.abs(x[label == cfg.sought].reshape(-1, 64) - window).max(1) == 0).any() for window in whole)


def test_the_study_measures_what_it_names():
    metrics = study(Config(pictures=2, hidden=4, steps=5, batch=16, seeds=2, draws=2000), jax.random.key(0)).metrics
    assert metrics["mean_gauss"] == pytest.approx(1, abs=0.15) and metrics["median_gauss"] == pytest.approx(np.pi / 2, abs=0.2)
    assert metrics["median_laplace"] == pytest.approx(0.55, abs=0.1) and metrics["cross_entropy_identity_gap"] < 1e-5
    assert 0 < metrics["average_precision_focal"] < 1


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="rare \\+ others at most 36"):
        Config(rare=30, others=10)
    with pytest.raises(ValueError, match="a label that is 1"):
        average_precision(np.zeros(3), np.zeros(3))
