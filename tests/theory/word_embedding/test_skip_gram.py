"""The loss of skip-gram, and the matrix that its vectors factorise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.testing.tolerances import GRADIENT, NUMBER
from panorax.theory.word_embedding import skip_gram

RNG = np.random.default_rng(0)
DRAWN = 0.02
"""six standard deviations of a share of 20,000 draws"""
MINIMISED = 5e-3
"""distance from the minimum after few steps, in nats"""
ITERATED = 1e-3
"""stopping criterion of the iteration for singular vectors, times their size"""


def test_the_loss_and_its_gradients_equal_loops_in_numpy():
    v, u = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    pairs = [(0, 1), (2, 2), (5, 1)]
    negative = np.array([[3, 1], [4, 4], [0, 5]])  # the second word of the first row is a context
    sigma = lambda x: 1 / (1 + np.exp(-x))
    total, dv, du = 0.0, np.zeros_like(v), np.zeros_like(u)
    for (w, c), row in zip(pairs, negative):
        for n, sign in [(c, 1), *((n, -1) for n in row if n != c)]:
            x = sign * u[n] @ v[w]
            total -= np.log(sigma(x)) / 3
            dv[w] -= sign * sigma(-x) * u[n] / 3
            du[n] -= sign * sigma(-x) * v[w] / 3
    word, context = np.array(pairs).T
    vectors = skip_gram.Vectors(jnp.asarray(v), jnp.asarray(u))
    value, grads = jax.value_and_grad(skip_gram.loss)(vectors, word, context, negative)
    np.testing.assert_allclose(value, total, **NUMBER)
    np.testing.assert_allclose(grads.word, dv, **GRADIENT)
    np.testing.assert_allclose(grads.context, du, **GRADIENT)


def test_negative_words_follow_the_power_of_their_counts():
    drawn = skip_gram.draws(np.array([16, 1, 0, 81]), (20_000,), RNG)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, np.array([8, 1, 0, 27]) / 36, atol=DRAWN)


def test_the_least_loss_is_at_the_mutual_information():
    counts = np.array([[0, 4, 2], [4, 6, 1], [2, 1, 1]])
    share = counts.sum(0) / counts.sum()
    product = skip_gram.least_expected_loss(jax.random.key(0), counts, share, 2, steps=400)
    exact = skip_gram.shifted_information(counts, share, 2)
    assert exact[0, 0] == -np.inf and product[0, 0] < -5
    np.testing.assert_allclose(product[counts > 0], exact[counts > 0], atol=MINIMISED)
    assert exact[1, 1] == pytest.approx(np.log(6 * 21 / (11 * 11)) - np.log(2))


def test_factors_are_those_of_the_positive_information():
    counts = RNG.integers(0, 9, (12, 12))
    counts += counts.T
    share = counts.sum(0) / counts.sum()
    positive = np.maximum(skip_gram.shifted_information(counts, share, 1), 0)
    u, s, _ = np.linalg.svd(positive)
    x = skip_gram.factorised(counts, 4)
    expected = (u[:, :4] * s[:4]) @ u[:, :4].T  # the sign and order of the columns are free
    np.testing.assert_allclose(x @ x.T, expected, atol=ITERATED)
