import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from panorax.ops.batch_norm import Running, batch_norm, batch_norm_evaluation
from panorax.testing.tolerances import COARSE, LAYER, NUMBER

RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (8, 3, 2, 4)).astype(np.float32)
SCALE, BIAS = RNG.normal(size=(2, 4)).astype(np.float32)
BEFORE = Running(RNG.normal(size=4).astype(np.float32), RNG.uniform(1, 2, 4).astype(np.float32))
train, evaluate = jax.jit(batch_norm), jax.jit(batch_norm_evaluation)
N = 48  # values per channel


def test_training_standardises_each_channel():
    y, _ = train(X, np.ones(4, np.float32), np.zeros(4, np.float32), BEFORE)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, **LAYER)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, **LAYER)
    affine, _ = train(X, SCALE, BIAS, BEFORE)
    expected = y * SCALE[None, None, None] + BIAS[None, None, None]
    np.testing.assert_allclose(affine, expected, **LAYER)


def test_running_averages_move_a_tenth_towards_the_unbiased_statistics():
    _, after = train(X, SCALE, BIAS, BEFORE)
    rows = X.reshape(N, 4)
    np.testing.assert_allclose(after.mean, 0.9 * BEFORE.mean + 0.1 * rows.mean(0), **NUMBER)
    np.testing.assert_allclose(after.var, 0.9 * BEFORE.var + 0.1 * rows.var(0, ddof=1), **NUMBER)


def test_evaluation_treats_rows_independently():
    whole = evaluate(X, SCALE, BIAS, BEFORE)
    other = evaluate(np.concatenate([X[:1], 100 + X[1:]]), SCALE, BIAS, BEFORE)
    np.testing.assert_array_equal(whole[0], other[0])
    exact = (X - BEFORE.mean) / np.sqrt(BEFORE.var + 1e-5) * SCALE + BIAS
    np.testing.assert_allclose(whole, exact, **NUMBER)


def test_statistics_of_a_large_mean_in_half_precision_are_exact():
    far = (1000 + X).astype(jnp.bfloat16)
    y, after = train(far, SCALE, BIAS, BEFORE)
    exact, expected = train(far.astype(np.float32), SCALE, BIAS, BEFORE)
    assert y.dtype == jnp.bfloat16 and after.var.dtype == jnp.float32
    np.testing.assert_allclose(after.var, expected.var, **NUMBER)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, **COARSE)
    variance = far.reshape(N, 4).astype(np.float64).var(0, ddof=1)
    np.testing.assert_allclose(after.var, 0.9 * BEFORE.var + 0.1 * variance, **NUMBER)


def test_a_batch_on_many_devices_uses_the_statistics_of_the_whole_batch():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.device_put(X, NamedSharding(mesh, PartitionSpec("data")))
    whole, sharded = train(X, SCALE, BIAS, BEFORE), train(split, SCALE, BIAS, BEFORE)
    chex.assert_trees_all_close(whole, sharded, **LAYER)


def test_one_value_per_channel_is_rejected():
    with pytest.raises(ValueError, match="at least 2 values per channel"):
        train(X[:1, :1, :1], SCALE, BIAS, BEFORE)
