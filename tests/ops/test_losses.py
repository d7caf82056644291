import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from panorax.ops.losses import (
    binary_cross_entropy,
    categorical_kl,
    cross_entropy,
    focal,
    gaussian_nll,
    smoothed_cross_entropy,
    weighted_mean,
)

RNG = np.random.default_rng(0)
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


def test_label_smoothing_is_cross_entropy_with_the_smoothed_distribution():
    label, target = jnp.array([2, 0]), 0.9 * np.eye(3)[[2, 0]] + 0.1 / 3
    expected = -(target * special.log_softmax(np.asarray(LOGITS, np.float64), 1)).sum(1)
    np.testing.assert_allclose(smoothed_cross_entropy(LOGITS, label, 0.1), expected, rtol=1e-5)
    np.testing.assert_allclose(
        smoothed_cross_entropy(LOGITS, label, 0.0), cross_entropy(LOGITS, label), rtol=1e-6
    )


def test_binary_cross_entropy_is_that_of_two_classes_and_finite():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1, 0, 1])
    two = jnp.stack([jnp.zeros(3), logit], 1)
    np.testing.assert_allclose(
        binary_cross_entropy(logit, label.astype(jnp.float32)), cross_entropy(two, label), rtol=1e-5
    )
    far, ones = jnp.array([-1e4, 1e4]), jnp.ones(2)
    np.testing.assert_allclose(binary_cross_entropy(far, ones), [1e4, 0])
    assert np.isfinite(
        jax.vmap(jax.grad(lambda logit: binary_cross_entropy(logit, jnp.ones(())), 0))(far)
    ).all()


def test_focal_loss():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1.0, 0.0, 1.0])
    p = special.expit(np.asarray(logit, np.float64))
    p_y, alpha = np.where(label == 1, p, 1 - p), np.where(label == 1, 0.25, 0.75)
    np.testing.assert_allclose(
        focal(logit, label), -alpha * (1 - p_y) ** 2 * np.log(p_y), rtol=1e-5
    )
    np.testing.assert_allclose(
        2 * focal(logit, label, 0.0, 0.5), binary_cross_entropy(logit, label), rtol=1e-6
    )
    slope = jax.vmap(jax.grad(lambda logit, label: focal(logit, label)))(
        jnp.array([-100.0, 100.0, 100.0]), jnp.array([1.0, 0.0, 1.0])
    )
    np.testing.assert_allclose(slope, [-0.25, 0.75, 0], atol=1e-4)


def test_gaussian_nll():
    y, mean, log_variance = (jnp.asarray(RNG.normal(size=7), jnp.float32) for _ in range(3))
    np.testing.assert_allclose(
        gaussian_nll(y, mean, log_variance),
        -stats.norm.logpdf(y, mean, np.exp(log_variance / 2)),
        rtol=1e-4,
    )


@given(st.integers(0, 2**32 - 1))
def test_divergence_of_two_distributions(seed):
    p, q = jnp.asarray(np.random.default_rng(seed).normal(size=(2, 3, 4)) * 2, jnp.float32)
    expected = stats.entropy(
        special.softmax(np.asarray(p, np.float64), 1),
        special.softmax(np.asarray(q, np.float64), 1),
        axis=1,
    )
    np.testing.assert_allclose(categorical_kl(p, q), expected, atol=1e-5)
    np.testing.assert_allclose(categorical_kl(p, p + 3), 0, atol=1e-5)


def test_divergence_leaves_out_what_cannot_happen():
    np.testing.assert_allclose(
        categorical_kl(jnp.array([0.0, -jnp.inf]), jnp.zeros(2)), np.log(2), rtol=1e-6
    )
