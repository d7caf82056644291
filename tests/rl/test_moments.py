import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl import moments
from panorax.testing.tolerances import LAYER, NUMBER

# Batches of different sizes, means and scales: the variance between them is most of the variance.
BATCHES = [
    np.random.default_rng(n).normal(5.0 * n, 1.0 + n, (n, 4, 3)).astype(np.float32)
    for n in (1, 2, 5)
]


def merged(batches):
    result = moments.initial((3,))
    for x in batches:
        result = moments.merge(result, jnp.asarray(x))
    return result


@pytest.mark.parametrize("n", [1, 2, 3])
def test_moments_of_a_stream_are_the_moments_of_all_its_samples(n):
    samples = np.concatenate(BATCHES[:n]).reshape(-1, 3)
    result = merged(BATCHES[:n])
    np.testing.assert_allclose(result.mean, samples.mean(0), **NUMBER)
    np.testing.assert_allclose(result.var, samples.var(0), **NUMBER)
    assert float(result.count) == len(samples)


def test_standardized_samples_have_mean_0_and_variance_1_and_are_clipped():
    samples = np.concatenate(BATCHES)
    result = merged(BATCHES)
    z = np.asarray(moments.standardize(jnp.asarray(samples), result)).reshape(-1, 3)
    np.testing.assert_allclose(z.mean(0), 0, **LAYER)
    np.testing.assert_allclose(z.var(0), 1, **NUMBER)
    far = jnp.full((1, 3), 1e6)
    np.testing.assert_array_equal(moments.standardize(far, result, bound=4.0), np.full((1, 3), 4.0))


def test_no_sample_changes_nothing():
    x = jnp.asarray(BATCHES[0])
    np.testing.assert_allclose(moments.standardize(x, moments.initial((3,))), x, **NUMBER)


def test_samples_of_weight_0_do_not_count():
    x = BATCHES[2].reshape(-1, 3)
    weight = (np.arange(len(x)) % 3 > 0).astype(np.float32)
    result = moments.weighted(jnp.where(weight[:, None] > 0, x, 1e6), jnp.asarray(weight))
    np.testing.assert_allclose(result.mean, x[weight > 0].mean(0), **NUMBER)
    np.testing.assert_allclose(result.var, x[weight > 0].var(0), **NUMBER)
    assert float(result.count) == weight.sum()
