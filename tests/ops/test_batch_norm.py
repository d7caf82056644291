import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from panorax.ops.batch_norm import Running, batch_norm, batch_norm_evaluation

RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (8, 3, 2, 4)).astype(np.float32)
SCALE, BIAS = RNG.normal(size=(2, 4)).astype(np.float32)
BEFORE = Running(RNG.normal(size=4).astype(np.float32), RNG.uniform(1, 2, 4).astype(np.float32))
train, evaluate = jax.jit(batch_norm), jax.jit(batch_norm_evaluation)
N = 48  # values per channel


def test_channels_of_a_batch_are_standardised():
    y, _ = train(X, np.ones(4, np.float32), np.zeros(4, np.float32), BEFORE)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, rtol=1e-5)
    affine, _ = train(X, SCALE, BIAS, BEFORE)
    np.testing.assert_allclose(
        affine, y * SCALE[None, None, None] + BIAS[None, None, None], atol=1e-5
    )


def test_running_averages_move_a_tenth_towards_the_unbiased_statistics():
    _, after = train(X, SCALE, BIAS, BEFORE)
    rows = X.reshape(N, 4)
    np.testing.assert_allclose(after.mean, 0.9 * BEFORE.mean + 0.1 * rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after.var, 0.9 * BEFORE.var + 0.1 * rows.var(0, ddof=1), rtol=1e-5)


def test_evaluation_treats_every_row_by_itself():
    whole = evaluate(X, SCALE, BIAS, BEFORE)
    other = evaluate(np.concatenate([X[:1], 100 + X[1:]]), SCALE, BIAS, BEFORE)
    np.testing.assert_array_equal(whole[0], other[0])
    exact = (X - BEFORE.mean) / np.sqrt(BEFORE.var + 1e-5) * SCALE + BIAS
    np.testing.assert_allclose(whole, exact, rtol=1e-4, atol=1e-5)


def test_statistics_far_from_zero_and_of_half_precision_are_exact():
    far = (1000 + X).astype(jnp.bfloat16)
    y, after = train(far, SCALE, BIAS, BEFORE)
    exact, expected = train(far.astype(np.float32), SCALE, BIAS, BEFORE)
    assert y.dtype == jnp.bfloat16 and after.var.dtype == jnp.float32
    np.testing.assert_allclose(after.var, expected.var, rtol=1e-6)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=0.02)
    np.testing.assert_allclose(
        after.var,
        0.9 * BEFORE.var + 0.1 * far.reshape(N, 4).astype(np.float64).var(0, ddof=1),
        rtol=1e-4,
    )


def test_a_batch_on_many_devices_has_the_statistics_of_the_whole():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.device_put(X, NamedSharding(mesh, PartitionSpec("data")))
    one, many = train(X, SCALE, BIAS, BEFORE), train(split, SCALE, BIAS, BEFORE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, many)


def test_one_value_has_no_variance():
    with pytest.raises(ValueError, match="2 values per channel or more"):
        train(X[:1, :1, :1], SCALE, BIAS, BEFORE)
