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
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(0)
LOGITS = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_cross_entropy_and_its_gradient_in_closed_form():
    label = jnp.array([2, 0])
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    np.testing.assert_allclose(cross_entropy(LOGITS, label), -np.log(p[[0, 1], label]), **NUMBER)
    gradient = jax.grad(lambda x: jnp.sum(cross_entropy(x, label)))(LOGITS)
    np.testing.assert_allclose(gradient, p - np.eye(3)[label], **NUMBER)


def test_cross_entropy_is_finite_at_huge_logits():
    assert float(cross_entropy(jnp.array([1e4, -1e4]), jnp.array(1))) == 2e4


def test_weighted_mean_ignores_rows_of_weight_zero():
    x = jnp.array([1.0, 2.0, 30.0])
    assert float(weighted_mean(x, jnp.array([1.0, 3.0, 0.0]))) == 1.75
    assert float(weighted_mean(x, jnp.zeros(3))) == 0


def test_smoothed_cross_entropy_equals_cross_entropy_with_the_smoothed_target():
    label, target = jnp.array([2, 0]), 0.9 * np.eye(3)[[2, 0]] + 0.1 / 3
    expected = -(target * special.log_softmax(np.asarray(LOGITS, np.float64), 1)).sum(1)
    np.testing.assert_allclose(smoothed_cross_entropy(LOGITS, label, 0.1), expected, **NUMBER)
    unsmoothed = smoothed_cross_entropy(LOGITS, label, 0.0)
    np.testing.assert_allclose(unsmoothed, cross_entropy(LOGITS, label), **NUMBER)


def test_binary_cross_entropy_equals_cross_entropy_of_two_classes():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1, 0, 1])
    expected = cross_entropy(jnp.stack([jnp.zeros(3), logit], 1), label)
    loss = binary_cross_entropy(logit, label.astype(jnp.float32))
    np.testing.assert_allclose(loss, expected, **NUMBER)


def test_binary_cross_entropy_and_its_gradient_are_finite_at_large_logits():
    logit = jnp.array([-1e4, 1e4])
    np.testing.assert_allclose(binary_cross_entropy(logit, jnp.ones(2)), [1e4, 0])
    slope = jax.grad(lambda logit: jnp.sum(binary_cross_entropy(logit, jnp.ones(2))))(logit)
    assert np.isfinite(slope).all()


def test_focal_loss_in_closed_form():
    logit, label = jnp.array([-2.0, 0.3, 4.0]), jnp.array([1.0, 0.0, 1.0])
    p = special.expit(np.asarray(logit, np.float64))
    p_y, alpha = np.where(label == 1, p, 1 - p), np.where(label == 1, 0.25, 0.75)
    expected = -alpha * (1 - p_y) ** 2 * np.log(p_y)
    np.testing.assert_allclose(focal(logit, label), expected, **NUMBER)
    unfocused = 2 * focal(logit, label, 0.0, 0.5)
    np.testing.assert_allclose(unfocused, binary_cross_entropy(logit, label), **NUMBER)


def test_the_gradient_of_the_focal_loss_at_large_logits():
    logit, label = jnp.array([-100.0, 100.0, 100.0]), jnp.array([1.0, 0.0, 1.0])
    slope = jax.grad(lambda logit: jnp.sum(focal(logit, label)))(logit)
    np.testing.assert_allclose(slope, [-0.25, 0.75, 0], **NUMBER)


def test_gaussian_nll_equals_scipys_log_density():
    y, mean, log_variance = (jnp.asarray(RNG.normal(size=7), jnp.float32) for _ in range(3))
    expected = -stats.norm.logpdf(y, mean, np.exp(log_variance / 2))
    np.testing.assert_allclose(gaussian_nll(y, mean, log_variance), expected, **NUMBER)


@given(st.integers(0, 2**32 - 1))
def test_categorical_kl_equals_scipys_relative_entropy(seed):
    p, q = jnp.asarray(np.random.default_rng(seed).normal(size=(2, 3, 4)) * 2, jnp.float32)
    probabilities = (special.softmax(np.asarray(logits, np.float64), 1) for logits in (p, q))
    expected = stats.entropy(*probabilities, axis=1)
    np.testing.assert_allclose(categorical_kl(p, q), expected, **NUMBER)
    np.testing.assert_allclose(categorical_kl(p, p + 3), 0, **LAYER)


def test_outcomes_of_probability_zero_add_nothing_to_the_kl():
    divergence = categorical_kl(jnp.array([0.0, -jnp.inf]), jnp.zeros(2))
    np.testing.assert_allclose(divergence, np.log(2), **NUMBER)
