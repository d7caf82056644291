import dataclasses
import functools

import chex
import jax
import numpy as np
import optax
import pytest

from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.study import measured
from panorax.distributed.data_parallel import (
    Config,
    data_parallel,
    data_parallel_by_pmap,
    differing_bytes,
    replicated,
    start,
    study,
    train,
    train_step,
)
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.parallel.measures import collectives, devices_in_a_row, executions
from panorax.testing.tolerances import GRADIENT

MODEL = llama.Model(vocab=32, d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=24)
CFG = Config(model=MODEL, devices=8, accumulate=2, batch=16, context=8, steps=3)
KEY = jax.random.key(0)
STATE, TOKENS = start(CFG, KEY)
close = functools.partial(chex.assert_trees_all_close, **GRADIENT)


@functools.cache
def on(devices, accumulate):
    """The update on this many devices, and the first state on each."""
    cfg = dataclasses.replace(CFG, devices=devices, accumulate=accumulate)
    mesh = devices_in_a_row(devices, "data")
    return data_parallel(cfg, mesh), replicated(STATE, mesh)


@functools.cache
def by_hand():
    """Three updates of optax.adam on the mean of the loss over the whole batch."""
    tx = optax.adam(CFG.learning_rate)
    loss = lambda p: language_model.loss_fn(p, (), TOKENS, KEY, decoder.net(MODEL))[0]

    @jax.jit
    def step(params, opt):
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt = tx.update(grads, opt, params)
        return value, optax.apply_updates(params, updates), opt

    params, opt, losses = STATE.params, STATE.opt, []
    for _ in range(CFG.steps):
        value, params, opt = step(params, opt)
        losses.append(float(value))
    return params, np.array(losses)


@pytest.mark.parametrize("devices, accumulate", [(1, 4), (8, 1), (8, 2)])
def test_any_number_of_devices_and_micro_batches_is_one_large_batch(devices, accumulate):
    many, losses = train(*on(devices, accumulate), TOKENS, KEY, CFG.steps)
    params, expected = by_hand()
    close(many.params, params)
    close(losses, expected)
    assert int(many.step) == CFG.steps


def test_pmap_makes_the_same_updates():
    mesh = devices_in_a_row(8, "data")
    step = data_parallel_by_pmap(CFG, mesh)
    mapped, losses = train(step, replicated(STATE, mesh), TOKENS, KEY, CFG.steps)
    params, expected = by_hand()
    close(mapped.params, params)
    close(losses, expected)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_and_loss_are_all_reduced_once(accumulate):
    step, state = on(8, accumulate)
    found = collectives(step.lower(state, TOKENS, KEY).compile().as_text())
    assert executions(found, "all-reduce") == len(found) == 1
    assert sum(c.bytes for c in found) == sum(x.nbytes for x in jax.tree.leaves(STATE.params)) + 4


def test_copies_stay_equal_and_differing_bytes_counts_a_difference():
    many, _ = train(*on(8, 2), TOKENS, KEY, CFG.steps)
    assert differing_bytes((many.params, many.opt)) == 0
    mesh = devices_in_a_row(2, "data")
    at = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    values = np.zeros(3, np.float32), np.array([0.0, -0.0, 1.0], np.float32)
    placed = [jax.device_put(x, d) for x, d in zip(values, mesh.devices)]
    array = jax.make_array_from_single_device_arrays((3,), at, placed)
    assert differing_bytes(array) == 3  # the sign of -0, and two bytes of 1


def test_the_step_on_one_device_equals_the_language_model_step():
    cfg = language_model.Config(
        model=MODEL, optim=AdamW(peak_lr=CFG.learning_rate, schedule="constant", b2=0.999, clip=1e9)
    )
    system = language_model.system(cfg)
    expected, _ = jax.jit(system.train_step)(
        jax.jit(system.init_state)(KEY).replace(params=STATE.params), TOKENS, KEY
    )
    step = jax.jit(functools.partial(train_step, cfg=CFG, accumulate=1))
    state, metrics = step(STATE, TOKENS, KEY)
    close(state.params, expected.params)
    assert set(metrics) == {"loss", "grad_norm"}


def test_the_study_keeps_its_claims_at_a_small_size():
    metrics = measured(study(CFG), KEY).metrics
    assert metrics["all_reduces_per_update"] == 1
    assert metrics["bytes_differing_between_devices"] == 0
    assert metrics["parameter_distance"] < 1e-3 and metrics["parameter_distance_pmap"] < 1e-3
    assert metrics["last_loss"] < metrics["first_loss"]


def test_bad_input_is_refused():
    message = "batch 12 must be a multiple of devices 8 times accumulate 4"
    with pytest.raises(ValueError, match=message):
        Config(batch=12)
    with pytest.raises(UserError, match="needs 16 devices, there are 8"):
        measured(study(dataclasses.replace(CFG, devices=16, batch=32)), KEY)
