import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

from panorax.core.state import State
from panorax.core.step import descend, evaluated, scan_steps, update
from panorax.data.batches import weighted
from panorax.parallel.measures import collectives
from panorax.testing.tolerances import NUMBER

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


def advance(loss_fn, state, batch, key, accumulate=1):
    params, opt, extra, metrics = update(
        loss_fn, TX, state.params, state.opt, state.extra, batch, key, accumulate
    )
    return State(params, opt, extra, state.step), metrics


step = jax.jit(functools.partial(advance, loss_fn), static_argnames="accumulate")


def test_one_update_is_gradient_descent(key):
    state, metrics = step(fresh(), (X, Y), key)
    error = X @ PARAMS["w"] + PARAMS["b"] - Y[:, 0]
    gradient = 2 * X.T @ error / 8
    np.testing.assert_allclose(state.params["w"], PARAMS["w"] - 0.1 * gradient, **NUMBER)
    np.testing.assert_allclose(metrics["loss"], np.mean(error**2), **NUMBER)
    np.testing.assert_allclose(
        metrics["grad_norm"], np.sqrt(np.sum(gradient**2) + (2 * error.mean()) ** 2), **NUMBER
    )
    assert int(state.extra) == 1 and int(state.step) == 7


@pytest.mark.parametrize("n", [2, 8])
def test_accumulation_changes_nothing_but_memory(key, n):
    whole, whole_metrics = step(fresh(), (X, Y), key)
    parts, parts_metrics = step(fresh(), (X, Y), key, accumulate=n)
    np.testing.assert_allclose(parts.params["w"], whole.params["w"], **NUMBER)
    np.testing.assert_allclose(parts_metrics["loss"], whole_metrics["loss"], **NUMBER)
    assert int(parts.extra) == n


def test_every_micro_batch_and_every_step_has_its_own_key(key):
    """The loss is a random number, and the metric its square: both show which keys were used."""

    def draw(params, extra, batch, key):
        noise = jax.random.uniform(key)
        return noise + 0.0 * params["b"], (extra, {"square": jnp.square(noise)})

    state, metrics = jax.jit(lambda s: advance(draw, s, (X, Y), key, accumulate=4))(fresh())
    noise = np.asarray(jax.vmap(jax.random.uniform)(jax.random.split(key, 4)))
    np.testing.assert_allclose(metrics["loss"], noise.mean(), **NUMBER)
    np.testing.assert_allclose(metrics["square"], np.square(noise).mean(), **NUMBER)

    def train_step(state, batch, key):
        state, metrics = advance(draw, state, batch, key)
        return state.replace(step=state.step + 1), metrics

    batches = jax.tree.map(lambda x: np.stack([x] * 3), (X, Y))
    scan = jax.jit(lambda state: scan_steps(train_step, state, batches, key, 3))
    state, metrics = scan(fresh())
    noise = np.array([jax.random.uniform(jax.random.fold_in(key, 7 + i)) for i in range(3)])
    np.testing.assert_allclose(metrics["loss"], noise.mean(), **NUMBER)
    np.testing.assert_allclose(metrics["square"], np.square(noise).mean(), **NUMBER)
    assert int(state.step) == 10


@pytest.mark.parametrize("accumulate", [1, 2])
def test_inside_shard_map_an_update_equals_one_device_with_one_all_reduce(key, accumulate):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    whole = PartitionSpec()
    per_device = lambda state, batch, key: advance(loss_fn, state, batch, key, accumulate)
    sharded = jax.jit(
        jax.shard_map(
            per_device,
            mesh=mesh,
            in_specs=(whole, PartitionSpec("data"), whole),
            out_specs=(whole, whole),
        )
    )
    many, metrics = sharded(fresh(), (X, Y), key)
    one, one_metrics = step(fresh(), (X, Y), key)
    np.testing.assert_allclose(many.params["w"], one.params["w"], **NUMBER)
    np.testing.assert_allclose(many.params["b"], one.params["b"], **NUMBER)
    for name, value in one_metrics.items():
        np.testing.assert_allclose(metrics[name], value, **NUMBER)
    assert int(many.extra) == accumulate
    [exchange] = collectives(sharded.lower(fresh(), (X, Y), key).compile().as_text())
    assert (exchange.kind, exchange.times) == ("all-reduce", 1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_inside_shard_map_a_split_parameter_gets_the_gradient_of_its_shard(key, accumulate):
    """Each of 3 devices holds one weight and gathers all; the transpose of the gather sums once."""
    mesh = jax.make_mesh((3,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:3])
    whole, part = PartitionSpec(), PartitionSpec("data")
    where = State({"w": part, "b": whole}, whole, whole, whole)

    def gathered(params, extra, batch, key):
        return loss_fn(
            params | {"w": jax.lax.all_gather(params["w"], "data", tiled=True)}, extra, batch, key
        )

    def per_device(state, batch, key):
        return advance(gathered, state, batch, key, accumulate)[0]

    rows = (X[:6], Y[:6])
    many = jax.jit(
        jax.shard_map(per_device, mesh=mesh, in_specs=(where, part, whole), out_specs=where)
    )(fresh(), rows, key)
    one, _ = step(fresh(), rows, key)
    np.testing.assert_allclose(many.params["w"], one.params["w"], **NUMBER)
    np.testing.assert_allclose(many.params["b"], one.params["b"], **NUMBER)


def test_descend_is_a_sequence_of_updates():
    loss = lambda x, key: jnp.sum(jnp.square(x - jax.random.normal(key, (2,))))
    tx, x = optax.adam(0.1), jnp.ones(2)
    keys = jax.random.split(jax.random.key(0), 3)
    minimum, losses = jax.jit(lambda x: descend(loss, tx, x, keys))(x)
    state = tx.init(x)
    for key, value in zip(keys, losses, strict=True):
        np.testing.assert_allclose(value, loss(x, key), **NUMBER)
        updates, state = tx.update(jax.grad(loss)(x, key), state)
        x = x + updates
    np.testing.assert_allclose(minimum, x, **NUMBER)


def test_a_transformation_receives_the_loss_function_the_batch_and_the_key(key):
    received = {}

    def record(grads, state, params, **extra):
        received.update(extra)
        return grads, state

    spy = optax.GradientTransformationExtraArgs(lambda params: (), record)
    params = jax.tree.map(jnp.asarray, PARAMS)
    _, _, _, metrics = update(loss_fn, spy, params, (), jnp.int32(0), (X, Y), key)
    np.testing.assert_allclose(received["value_fn"](params), metrics["loss"])
    np.testing.assert_allclose(received["obj_fn"](params), received["value"])
    assert received["key"] is key and received["batch"][0] is X
    gradient = jax.grad(lambda p: loss_fn(p, 0, (X, Y), key)[0])(params)
    chex.assert_trees_all_equal(received["grad"], gradient)


def test_two_players_are_updated_by_two_calls(key):
    """Each call updates one player of a game and leaves the other unchanged."""
    game = lambda a, b: jnp.sum(a * b) + 0.5 * jnp.sum(b * b)
    a, b = jnp.ones(2), jnp.full(2, 2.0)
    after_a, _, _, _ = update(
        lambda a, extra, b, key: (game(a, b), (extra, {})), TX, a, TX.init(a), (), b, key
    )
    after_b, _, _, _ = update(
        lambda b, extra, a, key: (-game(a, b), (extra, {})), TX, b, TX.init(b), (), after_a, key
    )
    np.testing.assert_allclose(after_a, a - 0.1 * b)
    np.testing.assert_allclose(after_b, b + 0.1 * (after_a + b), **NUMBER)


def test_metrics_are_sums_of_totals_over_sums_of_weights(key):
    evaluate = lambda state, batch, key: {
        "eval_mean": (jnp.sum(batch["x"] * batch["weight"]), jnp.sum(batch["weight"]))
    }
    rows = np.arange(7, dtype=np.float32)
    for size in (2, 7, 10):
        metrics = evaluated(evaluate, None, weighted({"x": rows}, size), key)
        assert float(metrics["eval_mean"]) == pytest.approx(3.0)
    draw = lambda state, batch, key: {"eval_noise": (jax.random.uniform(key), 1.0)}
    noise = [jax.random.uniform(jax.random.fold_in(key, i)) for i in range(4)]
    metrics = evaluated(draw, None, weighted({"x": rows}, 2), key)
    np.testing.assert_allclose(metrics["eval_noise"], np.mean(noise), **NUMBER)
    with pytest.raises(ValueError, match="no held-out batch"):
        evaluated(evaluate, None, (), key)
