"""The training loop on a minimal system, the running sum of its batches."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.spec import P
from panorax.core.state import State, System
from panorax.core.step import keys_of, scan_steps, stacked
from panorax.engine.checkpoint import Checkpoints
from panorax.engine.loop import Clock, fit
from panorax.engine.metrics import Log, read_metrics
from panorax.parallel.sharding import make_mesh, placement
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)


def counter(bad=lambda step: False):
    """A system that sums its batches; its loss is the batch, and NaN at bad steps."""

    def train_step(state, batch, key):
        loss = jnp.where(bad(state.step), jnp.nan, batch.astype(jnp.float32))
        return state.replace(params={"sum": state.params["sum"] + batch}, step=state.step + 1), {
            "loss": loss
        }

    return System(
        spec={"sum": P((), (), jax.nn.initializers.zeros)},
        init_state=lambda key: State({"sum": jnp.float32(0)}, (), (), jnp.int32(0)),
        train_step=train_step,
        evaluate=lambda state, batch, key: {"eval_sum": (state.params["sum"] + batch, 1)},
        batches=lambda step: np.int32(step),
        held_out=lambda: (np.int32(0),),
    )


def run(directory, steps, system=None, state=None, **options):
    system = system or counter()
    state = state or system.init_state(KEY)
    place = placement(system, jax.eval_shape(lambda: state), make_mesh())
    place = type(place)(place.state, *[place.replicated] * 3)  # its batches are scalars
    start = int(state.step)
    with (
        Log(directory, start, io.StringIO()) as log,
        Checkpoints(directory / "checkpoints") as checkpoints,
    ):
        return fit(
            system, Run(steps=steps, **options), state, keys_of(0), place, log, checkpoints, Clock()
        )


def test_a_last_chunk_may_be_shorter(tmp_path):
    state, evaluation = run(tmp_path, 7, chunk=3)
    assert int(state.step) == 7 and evaluation == {"eval_sum": 21.0}
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [(r["step"], r["loss"]) for r in records if r["split"] == "train"] == [
        (3, 1.0),
        (6, 4.0),
        (7, 6.0),
    ]


def test_the_clock_counts_compilation_of_a_function_that_runs_once():
    clock = Clock()
    assert clock.once(lambda x: 2 * x, jnp.float32(3)) == 6 and clock.compiling > 0


def test_a_chunk_has_one_record_of_metrics(tmp_path):
    run(tmp_path, 40, chunk=20)
    assert len([r for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "train"]) == 2


def test_evaluations_and_checkpoints_have_their_own_schedules(tmp_path):
    run(tmp_path, 10, chunk=2, eval_every=4, save_every=6, keep=9)
    assert [
        r["step"] for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "eval"
    ] == [4, 8, 10]
    assert sorted(
        int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdecimal()
    ) == [6, 10]


def test_evaluations_are_made_at_the_steps_that_are_asked_for(tmp_path):
    state, _ = run(tmp_path, 24, chunk=4, eval_every=10, save_every=7)
    records = read_metrics(tmp_path / "metrics.jsonl")
    steps = {
        split: [r["step"] for r in records if r["split"] == split] for split in ("train", "eval")
    }
    assert steps == {"train": [4, 8, 10, 14, 18, 20, 24], "eval": [10, 20, 24]}
    assert float(state.params["sum"]) == sum(range(24))


def test_a_finished_run_is_only_evaluated(tmp_path):
    (tmp_path / "a").mkdir()
    done, _ = run(tmp_path / "a", 4)
    state, evaluation = run(tmp_path, 4, state=done)
    assert int(state.step) == 4 and evaluation == {"eval_sum": 6.0}


def test_a_loss_that_is_not_finite_stops_with_its_steps_and_the_last_checkpoint(tmp_path):
    with pytest.raises(
        UserError, match=r"the loss is nan within steps 5-6; the checkpoint of step 4 in .* is good"
    ):
        run(tmp_path, 10, counter(lambda step: step >= 5), chunk=2, save_every=2)


def test_the_advice_names_data_that_are_not_finite(tmp_path):
    bad = lambda step: np.float32(np.nan if step == 5 else step)
    with pytest.raises(UserError, match=r"the data are not finite: batch of step 5; correct them"):
        run(tmp_path, 10, dataclasses.replace(counter(), batches=bad), chunk=2)
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="the data are finite; try a lower learning rate"):
        run(tmp_path / "b", 10, counter(lambda step: step >= 5), chunk=2)


def test_metrics_that_are_not_finite_are_null_in_json(tmp_path):
    system = dataclasses.replace(
        counter(), evaluate=lambda state, batch, key: {"eval_sum": (jnp.nan, 1)}
    )
    _, evaluation = run(tmp_path, 2, system)
    assert not np.isfinite(evaluation["eval_sum"])
    assert '"eval_sum": null' in (tmp_path / "metrics.jsonl").read_text()
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["eval_sum"] is None


def test_on_nan_skip_skips_and_counts_bad_steps(tmp_path):
    state, _ = run(
        tmp_path,
        8,
        counter(lambda step: (step == 2) | (step == 5)),
        chunk=4,
        on_nan="skip",
        max_skipped=2,
    )
    assert int(state.step) == 8 and float(state.params["sum"]) == sum(range(8)) - 2 - 5
    records = [r for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "train"]
    assert [r["skipped"] for r in records] == [0.25, 0.25]
    np.testing.assert_allclose(
        [r["loss"] for r in records], [(0 + 1 + 3) / 3, (4 + 6 + 7) / 3], **NUMBER
    )


def test_too_many_skipped_steps_stop_the_run(tmp_path):
    with pytest.raises(
        UserError, match="3 steps were skipped up to step 12; the checkpoint of step 8 in"
    ):
        run(
            tmp_path,
            40,
            counter(lambda step: step % 4 == 0),
            chunk=4,
            save_every=4,
            on_nan="skip",
            max_skipped=2,
        )
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="4 steps were skipped up to step 4; no checkpoint"):
        run(tmp_path / "b", 40, counter(lambda step: step >= 0), chunk=4, on_nan="skip")


def test_a_chunk_equals_its_steps_one_by_one():
    system = counter()
    together, metrics = jax.jit(lambda s, b: scan_steps(system.train_step, s, b, KEY, 5))(
        system.init_state(KEY), stacked(system.batches, 0, 5)
    )
    alone = system.init_state(KEY)
    for i in range(5):
        alone, _ = system.train_step(alone, jnp.int32(i), KEY)
    assert (
        int(together.params["sum"]) == int(alone.params["sum"]) == 10
        and float(metrics["loss"]) == 2.0
    )


def test_disabled_compilation_is_refused_in_one_line():
    with jax.disable_jit(), pytest.raises(UserError, match="JAX_DISABLE_JIT is set"):
        Clock().once(jnp.sin, jnp.ones(2))
