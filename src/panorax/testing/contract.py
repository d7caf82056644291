"""The contract of a system or a study: checks of its config module.

    checks = contract.of(module)      # the module of a config file: get_config() and smoke()
    checks["same_seed_same_bits"]()   # returns, or raises AssertionError

`panorax check my_config.py` runs all checks. The checks of one module share their compiled
programs. Checks run at smoke size; checks of shapes and shardings trace the full size.
"""

import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import config
from panorax.core.spec import count, is_parameter
from panorax.core.state import State, System
from panorax.core.step import keys_of as run_keys
from panorax.core.step import scan_steps, stacked
from panorax.core.study import joined, keys_of
from panorax.engine.checkpoint import Checkpoints
from panorax.engine.plan import flops, plan
from panorax.engine.run import run, with_shardings
from panorax.parallel.sharding import make_mesh, mesh_sizes, placement
from panorax.testing import tolerances

CHUNK = 2  # steps per call of the compiled program that most checks share
DEVICES = "data=2,fsdp=2,tensor=2"


def of(module: ModuleType) -> dict[str, Callable[[], None]]:
    """The checks of a config module by name."""
    implementation = config.module_of(module.smoke())
    is_study = hasattr(implementation, "study")
    contract = StudyContract(module) if is_study else SystemContract(module)
    names = [name for name in vars(type(contract)) if not name.startswith("_")]
    return {name: getattr(contract, name) for name in names if callable(getattr(contract, name))}


class StudyContract:
    """Checks of a study, which share one smoke run."""

    def __init__(self, module: ModuleType):
        self._module = module
        self._cfg = module.smoke()

    @functools.cached_property
    def _record(self) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            files = {"config.json", "result.json", "parts"}
            return _smoke_run(self._module, self._cfg, Path(folder) / "run", files)

    def smoke_run_measures_every_metric_of_its_claims(self):
        """Every claim names a metric of the smoke run; digits, which give sizes, may differ."""
        without_digits = lambda names: {
            "".join(c for c in name if not c.isdigit()) for name in names
        }
        named = without_digits(claim.metric for claim in self._module.CLAIMS)
        assert named <= without_digits(self._record["metrics"])

    def parts_are_functions_of_their_keys(self):
        """Parts run in reverse order measure the metrics of the smoke run.

        Values may differ for parts that the module names in TIMED, because they measure time.
        """
        module = config.module_of(self._cfg)
        parts = module.study(self._cfg)
        keys = keys_of(parts, jax.random.key(self._cfg.seed))
        again = {name: parts[name](keys[name]) for name in reversed(parts)}
        assert self._record["metrics"].keys() == joined(again.values()).metrics.keys()
        for name in again.keys() - getattr(module, "TIMED", ()):
            for metric, x in again[name].metrics.items():
                assert self._record["metrics"][metric] == float(f"{x:.6g}"), metric


class SystemContract:
    """Checks of a trainable system.

    One smoke run of CHUNK steps on eight devices serves several checks: its checkpoint is compared
    with the same steps on one device.
    """

    def __init__(self, module: ModuleType):
        self._module = module
        smoke = module.smoke()
        run = dataclasses.replace(smoke.run, steps=CHUNK, chunk=CHUNK)
        self._cfg = dataclasses.replace(smoke, run=run)
        self._keys = run_keys(run.seed)
        self._key = self._keys.init

    @functools.cached_property
    def _full(self) -> System:
        return _made(self._module.get_config())

    @functools.cached_property
    def _full_state(self):
        return jax.eval_shape(self._full.init_state, self._key)

    @functools.cached_property
    def _system(self) -> System:
        return _made(self._cfg)

    @functools.cached_property
    def _init(self):
        return jax.jit(self._system.init_state)

    @functools.cached_property
    def _chunk(self) -> Callable:
        return lambda state, batches: scan_steps(
            self._system.train_step, state, batches, self._keys.train, CHUNK
        )

    @functools.cached_property
    def _steps(self):
        """The compiled chunk. It is traced once: every state that it is called with has one type.

        The checks call it with drawn, loaded, returned and restored states.
        """
        chex.clear_trace_counter()  # chex counts by source line, over all systems
        return jax.jit(chex.assert_max_traces(self._chunk, n=1))

    def _batches(self, start: int = 0):
        return stacked(self._system.batches, start, CHUNK)

    @functools.cached_property
    def _start(self):
        return self._begin(self._key)

    def _begin(self, key):
        """The first state for this key, committed to one device, as a restored state is."""
        drawn = self._init(key).replace(**self._loaded)
        return jax.device_put(drawn, jax.devices()[0])

    @functools.cached_property
    def _loaded(self) -> dict[str, Any]:
        """Fields of the first state that the system loads, as the smoke run loads them."""
        if self._system.pretrained is None:
            return {}
        abstract = jax.eval_shape(self._init, self._key)
        place = placement(self._system, abstract, make_mesh(DEVICES))
        return jax.device_get(self._system.pretrained(place.state))

    @functools.cached_property
    def _trained(self):
        """State and metrics after the first chunk."""
        return self._steps(self._start, self._batches())

    @property
    def _on_one_device(self):
        """Abstract state that a checkpoint is restored to."""
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return with_shardings(jax.eval_shape(self._init, self._key), device)

    @functools.cached_property
    def _smoke(self) -> tuple[dict, State]:
        """The record of the smoke run on eight devices, and the state that it saved."""
        files = {"config.json", "result.json", "metrics.jsonl", "curves.png", "checkpoints"}
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "run"
            record = _smoke_run(self._module, self._cfg, directory, files, DEVICES)
            with Checkpoints(directory / "checkpoints") as checkpoints:
                return record, checkpoints.restore(self._on_one_device)

    def step_keeps_the_state_as_it_is(self):
        """At full size, a step keeps the shapes and dtypes of the state, and has a scalar "loss".

        It keeps weak types too: a step that makes a weak type strong would be compiled twice.
        """
        step = self._full.train_step
        after, metrics = jax.eval_shape(step, self._full_state, self._full.batch, self._key)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, self._full_state)
        weak = lambda tree: [x.weak_type for x in jax.tree.leaves(tree)]
        assert weak(after) == weak(self._full_state)
        assert "loss" in metrics and all(m.shape == () for m in metrics.values())

    def is_planned_at_full_size(self):
        """At full size, the plan has parameters, optimiser state, activations and operations."""
        memory = plan(self._full, mesh_sizes("fsdp=2")).memory
        assert memory["parameters"] <= 4 * count(self._full.spec) < 2.2 * memory["parameters"]
        assert memory["optimizer"] > 0 and memory["gradients"] + memory["activations"] > 0
        assert all(x >= 0 for x in memory.values()) and flops(self._system) > 0

    def every_axis_of_every_parameter_has_a_name(self):
        """At full size, no axis of a parameter is None."""
        for p in jax.tree.leaves(self._full.spec, is_leaf=is_parameter):
            assert None not in p.axes, p

    def fsdp_splits_parameters_and_optimiser(self):
        """At full size, fsdp=8 splits at least 90% of the bytes of parameters and optimiser."""
        place = placement(self._full, self._full_state, make_mesh("fsdp=8")).state
        parts = ((self._full_state.params, place.params), (self._full_state.opt, place.opt))
        for tree, shardings in parts:
            pairs = list(zip(jax.tree.leaves(tree), jax.tree.leaves(shardings), strict=True))
            size = lambda x: x.size * x.dtype.itemsize
            is_split = lambda x, s: math.prod(s.shard_shape(x.shape)) * 8 == x.size
            total = sum(size(x) for x, _ in pairs)
            split = sum(size(x) for x, s in pairs if is_split(x, s))
            assert split >= 0.9 * total, f"{split} of {total} bytes are split"

    def same_seed_same_bits(self):
        """Two runs of one key are bit-equal; a different key gives different parameters.

        Parameters that are loaded rather than drawn are equal for every key.
        """
        chex.assert_trees_all_equal(
            self._trained, self._steps(self._begin(self._key), self._batches())
        )
        other_seed, _ = self._steps(self._begin(jax.random.key(4)), self._batches())
        pairs = zip(jax.tree.leaves(self._trained[0].params), jax.tree.leaves(other_seed.params))
        assert "params" in self._loaded or any(not np.array_equal(a, b) for a, b in pairs)
        assert int(self._trained[0].step) == CHUNK
        assert all(math.isfinite(x) for x in self._trained[1].values())

    def seeds_side_by_side_are_seeds_alone(self):
        """`vmap` over two seeds gives the parameters of each seed alone."""
        keys = jax.random.split(self._key, 2)
        states = [self._begin(key) for key in keys]
        jax.eval_shape(jax.vmap(self._system.init_state), keys)

        @jax.jit
        def side_by_side(states, batches):
            both = jax.tree.map(lambda *x: jnp.stack(x), *states)
            return jax.vmap(self._chunk, in_axes=(0, None))(both, batches)[0].params

        together = jax.device_get(side_by_side(states, self._batches()))
        for i, state in enumerate(states):
            alone, _ = self._steps(state, self._batches())
            params = jax.tree.map(lambda x: x[i], together)
            chex.assert_trees_all_close(params, alone.params, **tolerances.DEVICES)

    def eight_devices_equal_one(self):
        """Data, fully sharded and tensor parallelism together change parameters only by rounding.

        The engine's run on eight devices is compared with the same steps on one, so that the check
        also covers the engine's keys, batches and checkpoints.
        """
        _, eight = self._smoke
        chex.assert_trees_all_close(eight.params, self._trained[0].params, **tolerances.DEVICES)

    def resumed_equals_uninterrupted(self):
        """Saving and restoring a checkpoint between two chunks changes no bit."""
        middle, _ = self._trained
        with tempfile.TemporaryDirectory() as folder:
            with Checkpoints(Path(folder)) as checkpoints:
                checkpoints.save(middle)
            with Checkpoints(Path(folder)) as checkpoints:
                restored = checkpoints.restore(self._on_one_device)
        chex.assert_trees_all_equal(middle, restored)
        whole, _ = self._steps(middle, self._batches(CHUNK))
        chex.assert_trees_all_equal(self._steps(restored, self._batches(CHUNK))[0], whole)

    def one_batch_is_overfitted(self):
        """In 240 steps on one batch, the metric OVERFITS, by default "loss", falls by a fifth.

        Systems that make their own data, and configs with OVERFITS = None, are exempt.
        """
        metric = getattr(self._module, "OVERFITS", "loss")
        if metric is None or not jax.tree.leaves(self._system.batch):
            return
        batch = self._system.batches(0)
        repeated = jax.tree.map(lambda x: np.broadcast_to(x[None], (CHUNK, *x.shape)), batch)
        state, losses = self._start, []
        for _ in range(240 // CHUNK):
            state, metrics = self._steps(state, repeated)
            losses.append(metrics[metric])
        mean = lambda values: float(np.mean(jax.device_get(values)))
        assert mean(losses[-20:]) < 0.8 * mean(losses[:20])

    def batches_are_a_function_of_the_step(self):
        """A step always has the same batch, of the declared shapes; the next batch differs."""
        batches, declared = self._system.batches, self._system.batch
        if not jax.tree.leaves(declared):
            assert not jax.tree.leaves(batches(0))
            return
        chex.assert_trees_all_equal(batches(5), batches(5))
        chex.assert_trees_all_equal_shapes_and_dtypes(batches(5), declared)
        pairs = zip(jax.tree.leaves(batches(5)), jax.tree.leaves(batches(6)))
        assert any(not np.array_equal(a, b) for a, b in pairs)

    def evaluation_is_finite_and_named(self):
        """Held-out batches have one shape; their metrics are finite and named eval_...

        UNITS of the system's module, if any, are units of metrics that a step or an evaluation has.
        """
        batches = list(self._system.held_out())
        for batch in batches[1:]:
            chex.assert_trees_all_equal_shapes_and_dtypes(batch, batches[0])
        names = jax.eval_shape(self._system.evaluate, self._start, batches[0], self._key)
        assert names and all(name.startswith("eval_") for name in names)
        record, _ = self._smoke
        assert all(math.isfinite(record["metrics"][name]) for name in names)
        measured = {*self._trained[1], *(name.removeprefix("eval_") for name in names)}
        assert getattr(config.module_of(self._cfg), "UNITS", {}).keys() <= measured

    def smoke_run_goes_from_config_to_result(self):
        """A smoke run on eight devices writes all its files, and its metrics are finite."""
        record, _ = self._smoke
        assert record["mesh"] == DEVICES and record["steps"] == self._cfg.run.steps


def _made(cfg) -> System:
    return config.module_of(cfg).system(cfg)


def _smoke_run(
    module: ModuleType, cfg, directory: Path, expected: set[str], mesh: str = ""
) -> dict:
    """The record of a smoke run; asserts that it writes the expected files and a picture."""
    record = run(module.__name__, module, cfg, directory, resume=False, mesh=mesh)
    files = {path.name for path in directory.iterdir()}
    assert expected <= files and any(name.endswith(".png") for name in files), files
    assert record["metrics"] and all(math.isfinite(x) for x in record["metrics"].values())
    return record
