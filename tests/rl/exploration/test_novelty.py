"""The bonus of random network distillation, its gradient and its scale, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.rl import moments
from panorax.rl.exploration import novelty
from panorax.testing.tolerances import LAYER, MODEL

KEY = jax.random.key(0)
T, N, SHAPE, DISCOUNT = 5, 3, (2, 2), 0.9
SPEC = novelty.feature_spec(SHAPE, width=6, features=4)


@pytest.fixture(scope="module")
def networks():
    """(predictor, random network), and views (T, N, ...)."""
    f, g = (core_spec.init(SPEC, key) for key in jax.random.split(KEY))
    view = np.random.default_rng(0).normal(size=(T, N, *SHAPE)).astype(np.float32)
    return g, f, jnp.asarray(view)


def layers_of(params, x):
    """Inputs of every affine map of a ReLU network, and its output, in float64."""
    inputs = []
    for i, layer in enumerate(params):
        inputs.append(x)
        w, b = (np.asarray(layer[name], np.float64) for name in "wb")
        x = x @ w + b
        x = np.maximum(x, 0) if i < len(params) - 1 else x
    return inputs, x


def errors(predictor, target, view):
    x = np.asarray(view, np.float64).reshape(T, N, -1)
    return np.mean((layers_of(predictor, x)[1] - layers_of(target, x)[1]) ** 2, -1)


def test_the_error_and_its_gradient_by_backpropagation(networks):
    predictor, target, view = networks
    mean = lambda g, f: jnp.mean(novelty.prediction_error(g, f, view))
    error = novelty.prediction_error(predictor, target, view)
    np.testing.assert_allclose(error, errors(predictor, target, view), **LAYER)
    grads, of_target = jax.grad(mean, (0, 1))(predictor, target)

    x = np.asarray(view, np.float64).reshape(T * N, -1)
    inputs, g = layers_of(predictor, x)
    delta = 2 * (g - layers_of(target, x)[1]) / g.size
    for layer, grad, x in zip(predictor[::-1], grads[::-1], inputs[::-1], strict=True):
        np.testing.assert_allclose(grad["w"], x.T @ delta, **MODEL)
        np.testing.assert_allclose(grad["b"], delta.sum(0), **MODEL)
        delta = (delta @ np.asarray(layer["w"], np.float64).T) * (x > 0)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(of_target))  # f stays fixed


def test_the_reward_is_the_error_over_the_deviation_of_its_discounted_sums(networks):
    predictor, target, view = networks
    start = novelty.Novelty(target, moments.no_returns(N))
    step = jax.jit(lambda state, view: novelty.rewards(state, predictor, view, DISCOUNT))
    state, _ = step(start, view)
    state, reward = step(state, 2 * view)  # the sums go on over two rollouts
    error = np.concatenate([errors(predictor, target, v) for v in (view, 2 * view)])
    total, sums = np.zeros(N), []
    for row in error:
        total = DISCOUNT * total + row
        sums.append(total)
    # A prior variance of 1 around 0 counts for 1e-4 samples.
    n, sums = 2 * T * N, np.array(sums)
    mean = sums.sum() / (n + 1e-4)
    var = (1e-4 * (1 + mean**2) + ((sums - mean) ** 2).sum()) / (n + 1e-4)
    np.testing.assert_allclose(state.returns.sums, total, **LAYER)
    np.testing.assert_allclose(reward, error[T:] / np.sqrt(var), **MODEL)
