import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from panorax.core.state import State
from panorax.core.step import update

TX = optax.sgd(0.1)
X, Y = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32)
PARAMS = {"w": np.arange(3, dtype=np.float32), "b": np.float32(0.5)}


def loss_fn(params, extra, batch, key):
    x, y = batch
    error = x @ params["w"] + params["b"] - y[:, 0]
    return jnp.mean(jnp.square(error)), (extra + 1, {"error": jnp.mean(error)})


def fresh():
    params = jax.tree.map(jnp.asarray, PARAMS)
    return State(params, TX.init(params), jnp.int32(0), jnp.int32(7))


step = jax.jit(functools.partial(update, loss_fn, TX), static_argnames="accumulate")


def test_one_update_is_gradient_descent(key):
    state, metrics = step(fresh(), (X, Y), key)
    error = X @ PARAMS["w"] + PARAMS["b"] - Y[:, 0]
    gradient = 2 * X.T @ error / 8
    np.testing.assert_allclose(state.params["w"], PARAMS["w"] - 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(error**2), rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], np.sqrt(np.sum(gradient**2) + (2 * error.mean()) ** 2), rtol=1e-5)
    assert int(state.extra) == 1 and int(state.step) == 7


@pytest.mark.parametrize("n", [2, 8])
def test_accumulation_changes_nothing_but_memory(key, n):
    whole, whole_metrics = step(fresh(), (X, Y), key)
    parts, parts_metrics = step(fresh(), (X, Y), key, accumulate=n)
    np.testing.assert_allclose(parts.params["w"], whole.params["w"], rtol=1e-5)
    np.testing.assert_allclose(parts_metrics["loss"], whole_metrics["loss"], rtol=1e-5)
    assert int(parts.extra) == n


def test_inside_shard_map_parameters_equal_those_of_one_device(key):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    whole = PartitionSpec()

    def per_device(state, batch, key):
        state, metrics = update(loss_fn, TX, state, batch, key)
        return state.params, metrics

    sharded = jax.shard_map(per_device, mesh=mesh, in_specs=(whole, PartitionSpec("data"), whole), out_specs=(whole, whole))
    params, metrics = jax.jit(sharded)(fresh(), (X, Y), key)
    one, one_metrics = step(fresh(), (X, Y), key)
    np.testing.assert_allclose(params["w"], one.params["w"], rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], one_metrics["loss"], rtol=1e-5)
