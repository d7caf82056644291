"""What every system of the catalogue keeps, by being in it: a new entry is tested without a new line here."""

import functools
import importlib
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.catalogue import CATALOGUE
from panorax.core import config, spec
from panorax.core.checkpoint import Checkpoints
from panorax.core.loop import scan_steps, stacked
from panorax.core.state import Result
from panorax.parallel.sharding import make_mesh, mesh_sizes, placement
from panorax.plan import plan
from panorax.run import run, with_shardings

KEY = jax.random.key(3)
load = lambda name: config.load(name, (name,))
CONFIGS = tuple(name for entry in CATALOGUE for name in entry.configs)
IS_STUDY = {entry.id: hasattr(importlib.import_module(entry.module), "study") for entry in CATALOGUE}
STUDIES = tuple(name for entry in CATALOGUE for name in entry.configs if IS_STUDY[entry.id])
TRAINED = tuple(name for name in CONFIGS if name not in STUDIES)
DISTINCT = tuple({load(name).smoke(): name for name in reversed(TRAINED)}.values())  # presets share a smoke config
BATCHED = tuple(name for name in DISTINCT if jax.tree.leaves(config.module_of(load(name).smoke()).system(load(name).smoke()).batch))


@functools.cache
def smoke(name):
    """The smoke system of a config, and its compiled chunk of two steps."""
    cfg = load(name).smoke()
    system = config.module_of(cfg).system(cfg)
    return system, jax.jit(lambda state, batches: scan_steps(system.train_step, state, batches, KEY, 2)), jax.jit(system.init_state)


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def close(a, b, rtol=2e-4, atol=2e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=rtol, atol=atol), a, b)


def like(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


@pytest.mark.parametrize("name", TRAINED)
def test_full_size_traces_and_a_step_keeps_the_state_as_it_is(name):
    cfg = load(name).get_config()
    system = config.module_of(cfg).system(cfg)
    state = jax.eval_shape(system.init_state, KEY)
    after, metrics = jax.eval_shape(system.train_step, state, system.batch, KEY)
    assert like(after) == like(state)
    assert "loss" in metrics and all(m.shape == () for m in metrics.values())


@pytest.mark.parametrize("name", TRAINED)
def test_every_system_is_planned_at_full_size(name):
    cfg = load(name).get_config()
    system = config.module_of(cfg).system(cfg)
    needs = plan(system, mesh_sizes("fsdp=2"))
    assert needs["parameters"] <= 4 * spec.count(system.spec) < 2.2 * needs["parameters"]
    assert all(x > 0 for part, x in needs.items() if part != "extra") and needs["extra"] >= 0


@pytest.mark.parametrize("name, n", [pair for entry in CATALOGUE for pair in entry.parameters])
def test_parameter_counts_are_the_papers(name, n):
    cfg = load(name).get_config()
    assert spec.count(config.module_of(cfg).system(cfg).spec) == n


@pytest.mark.parametrize("name", DISTINCT)
def test_same_seed_same_bits_other_seed_other_bits(name):
    system, steps, init = smoke(name)
    batches = stacked(system.batches, 0, 2)
    one, again = steps(init(KEY), batches), steps(init(KEY), stacked(system.batches, 0, 2))
    same(one, again)
    other, _ = steps(init(jax.random.key(4)), batches)
    assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one[0].params), jax.tree.leaves(other.params)))
    assert int(one[0].step) == 2 and all(math.isfinite(m) for m in one[1].values())


@pytest.mark.parametrize("name", DISTINCT)
def test_seeds_trained_side_by_side_are_seeds_trained_alone(name):
    system, steps, init = smoke(name)
    keys, batches = jax.random.split(KEY, 2), stacked(system.batches, 0, 2)
    states = jax.vmap(init)(keys)
    together, _ = jax.jit(jax.vmap(steps, in_axes=(0, None)))(states, batches)
    for i in range(2):
        alone, _ = steps(init(keys[i]), batches)
        close(jax.tree.map(lambda x: x[i], together.params), alone.params, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", DISTINCT)
def test_eight_devices_equal_one(name):
    system, steps, init = smoke(name)
    batches = stacked(system.batches, 0, 2)
    one, _ = steps(init(KEY), batches)
    place = placement(system, jax.eval_shape(init, KEY), make_mesh("data=2,fsdp=2,tensor=2"))
    sharded = jax.jit(
        lambda state, batches: scan_steps(system.train_step, state, batches, KEY, 2),
        in_shardings=(place.state, place.stacked_batch),
        out_shardings=(place.state, place.replicated),
    )
    state = jax.jit(system.init_state, out_shardings=place.state)(KEY)
    with jax.set_mesh(place.replicated.mesh):
        eight, _ = sharded(state, jax.device_put(batches, place.stacked_batch))
    close(one.params, eight.params, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", DISTINCT)
def test_resumed_equals_uninterrupted_bit_for_bit(name, tmp_path):
    system, steps, init = smoke(name)
    middle, _ = steps(init(KEY), stacked(system.batches, 0, 2))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(middle)
    whole, _ = steps(middle, stacked(system.batches, 2, 2))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(with_shardings(jax.eval_shape(init, KEY), here))
    same(middle, restored)
    same(steps(restored, stacked(system.batches, 2, 2))[0], whole)


@pytest.mark.parametrize("name", BATCHED)
def test_one_batch_is_overfitted(name):
    system, _, init = smoke(name)
    batch = system.batches(0)
    repeat = lambda state: scan_steps(
        system.train_step, state, jax.tree.map(lambda x: jnp.broadcast_to(x[None], (60, *x.shape)), batch), KEY, 60
    )
    chunk = jax.jit(repeat)
    state, first = chunk(init(KEY))
    for _ in range(3):
        state, last = chunk(state)
    assert last["loss"] < 0.8 * first["loss"]


@pytest.mark.parametrize("name", BATCHED)
def test_batches_are_a_function_of_the_step(name):
    system, *_ = smoke(name)
    same(system.batches(5), system.batches(5))
    assert like(system.batches(5)) == like(system.batch)
    assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(system.batches(5)), jax.tree.leaves(system.batches(6))))


@pytest.mark.parametrize("name", DISTINCT)
def test_evaluation_has_its_own_names(name):
    system, _, init = smoke(name)
    metrics = jax.jit(system.evaluate)(init(KEY), system.held_out(), KEY)
    assert metrics and all(name.startswith("eval_") and math.isfinite(x) for name, x in metrics.items())


def smoke_run(name, directory):
    """The record of a run in `directory`, and the names of its files."""
    record = run(name, load(name), load(name).smoke(), directory, resume=False, mesh="")
    files = {p.name for p in directory.iterdir()}
    assert {"config.json", "result.json"} <= files and any(file.endswith(".png") for file in files)
    assert record["metrics"] and all(math.isfinite(x) for x in record["metrics"].values())
    return record, files


@pytest.mark.parametrize("name", DISTINCT)
def test_a_smoke_run_goes_from_config_to_result(name, tmp_path):
    _, files = smoke_run(name, tmp_path / "run")
    assert {"metrics.jsonl", "curves.png", "checkpoints"} <= files


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_run_and_is_a_function_of_its_key(name, tmp_path):
    cfg = load(name).smoke()
    record, _ = smoke_run(name, tmp_path / "run")
    without_sizes = lambda names: {re.sub(r"\d+", "", name) for name in names}
    assert without_sizes(claim.metric for claim in load(name).CLAIMS) <= without_sizes(record["metrics"])
    again = config.module_of(cfg).study(cfg, jax.random.key(cfg.seed))
    assert isinstance(again, Result) and record["metrics"] == {k: float(f"{v:.6g}") for k, v in again.metrics.items()}
