"""One run: a config becomes a directory of metrics, figures, checkpoints and a result with claims.

With many processes, all run the same code on their own devices. Process 0 holds the directory and
writes to it; all processes write checkpoints.
"""

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TextIO

import jax

from panorax.core import claims, config, files, reasons, spec
from panorax.core.errors import UserError
from panorax.core.state import Result, State, System
from panorax.core.step import keys_of
from panorax.engine import metrics, progress, rundir, study
from panorax.engine.checkpoint import Checkpoints, saved
from panorax.engine.loop import Clock, fit
from panorax.engine.provenance import provenance, reached
from panorax.parallel import processes
from panorax.parallel.sharding import make_mesh, placement

STARTED, SECOND = "%Y%m%d-%H%M%S", timedelta(seconds=1)


def run(
    name: str,
    module: ModuleType,
    cfg,
    directory: Path,
    resume: bool,
    mesh: str,
    formats: Sequence[str] = ("png",),
) -> dict:
    """Runs `cfg` in `directory` and returns the content of result.json.

    module: config module, whose CLAIMS are checked.  mesh: text such as `data=2,fsdp=2`.
    formats: suffixes of the figures, "png" and "pdf".
    """
    clock, source = Clock(), {"sources": reached(module, cfg), **provenance()}
    implementation = config.module_of(cfg)
    is_study = hasattr(implementation, "study")
    if mesh and is_study:
        raise UserError(f"{name} is a study, which makes its own meshes: leave out --mesh")
    with processes.on_first(
        lambda: rundir.entered(directory, cfg, mesh, resume, lambda: step_to_continue(directory))
    ):
        if is_study:
            out = sys.stdout if processes.is_first() else io.StringIO()
            parts, key = implementation.study(cfg), jax.random.key(cfg.seed)
            result, seconds = study.measure(parts, key, directory, out, formats)
            facts = {"seed": cfg.seed, "parts": seconds}
        else:
            with reasons.naming(config.leaves(cfg)):
                system = implementation.system(cfg)
            units = getattr(implementation, "UNITS", {})
            result, facts = train(system, cfg.run, directory, mesh, clock, units)
        record = {
            "config": name,
            **claims.judged(
                getattr(module, "CLAIMS", ()), result.metrics, deviations(module, cfg, directory)
            ),
            "metrics": {k: v and float(f"{v:.6g}") for k, v in result.metrics.items()},
            **facts,
            "wall_seconds": round(clock.elapsed(), 1),
            "compile_seconds": round(clock.compiling, 1),
            **source,
        }
        processes.first(lambda: write(directory, result, record, formats))
    return record


def deviations(module: ModuleType, cfg, directory: Path | None) -> dict[str, tuple]:
    """Options by which a run of `cfg` deviates from `module.get_config()`, which claims are about.

    directory: the run directory, None for a new one. Options that were changed when its run was
    resumed deviate too.
    Returns `{"batch": (value of the config, value of the run)}`. Another part counts as one option,
    `{"optim": ("adamw", "muon")}`. The seed and the schedule of evaluations and checkpoints are
    ignored.
    """
    changed = {}
    if directory and (directory / "config.json").exists():
        changed = rundir.changes(directory) | config.differences(rundir.stored(directory)[0], cfg)
    ours, theirs = cfg, module.get_config()
    changed |= config.differences(theirs, ours)
    ours, theirs = config.chosen(ours), config.chosen(theirs)
    parts = {x: (was, ours[x]) for x, was in theirs.items() if ours.get(x, was) != was}
    return parts | {
        name: values
        for name, values in changed.items()
        if name not in claims.INDEPENDENT and name.partition(".")[0] not in parts
    }


def newest_step(directory: Path) -> int | None:
    """The step of the newest checkpoint in `directory`, None if there is none."""
    return max(saved(directory / "checkpoints"), default=None)


def step_to_continue(directory: Path) -> int:
    """The step from which the run in `directory` continues, 0 if it was killed before it saved.

    Raises UserError if it has saved checkpoints, and they are gone.
    """
    step, folder = newest_step(directory), directory / "checkpoints"
    trained, finished = [(directory / name).exists() for name in ("metrics.jsonl", "result.json")]
    if step is None and trained and (finished or not folder.is_dir()):
        raise UserError(
            f"{folder} holds no checkpoint, but the run has saved some: put them back, "
            "or start a new run with another --workdir"
        )
    return step or 0


def train(
    system: System,
    run: config.Run,
    directory: Path,
    mesh: str = "",
    clock: Clock | None = None,
    units: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Result, dict]:
    """Trains a system in `directory`, from its newest checkpoint if there is one.

    units: unit of each metric that has one, for the axes of the curves.
    Returns metrics and figures, and the seed, steps, parameter count and mesh of the run. Process 0
    makes the report from the whole state, which must fit on one device.
    """
    clock = clock or Clock()
    keys = keys_of(run.seed)
    abstract = jax.eval_shape(system.init_state, keys.init)
    devices = make_mesh(mesh)
    place = placement(system, abstract, devices)
    sizes = [f"{axis}={size}" for axis, size in devices.shape.items() if size > 1]
    mesh = ",".join(sizes) or "data=1"
    if system.on_host and devices.size > 1:
        raise UserError(f"--mesh {mesh}: the steps of this system run on the host, on one device")
    out = sys.stdout if processes.is_first() else io.StringIO()
    with progress.working("reading data", out):
        check_data(system, directory, devices.size // devices.shape["tensor"], mesh)
    with Checkpoints(directory / "checkpoints", run.keep) as checkpoints:
        if checkpoints.latest() is None:
            state = initial(system, keys.init, place.state, clock)
        else:
            state = checkpoints.restore(with_shardings(abstract, place.state))
        with processes.on_first(
            lambda: metrics.Log(directory, int(state.step)), otherwise=metrics.Silence()
        ) as log:
            state, evaluation = fit(system, run, state, keys, place, log, checkpoints, clock)
    facts = {
        "seed": run.seed,
        "steps": run.steps,
        "parameters": spec.count(system.spec),
        "mesh": mesh,
    }
    state = processes.gathered(state, place.replicated)
    if not processes.is_first():
        return Result(evaluation), facts
    result = reported(system, state, keys.report, directory, out, units)
    return Result({**evaluation, **result.metrics}, result.figures), facts


def reported(
    system: System, state: State, key, directory: Path, out: TextIO, units: Mapping[str, str]
) -> Result:
    """The system's report on its final state, with the curves of training in these units.

    Progress goes to `out`.
    """
    with progress.working("report", out):
        report = system.report(state, key)
        curves = metrics.draw_curves(
            metrics.read_metrics(directory / "metrics.jsonl"), system.per_step, units
        )
    return Result(report.metrics, {"curves.png": curves, **report.figures})


def initial(system: System, key: jax.Array, shardings: State, clock: Clock) -> State:
    """The placed state that training starts from; pretrained fields are loaded, never drawn."""
    loaded = system.pretrained(shardings) if system.pretrained else {}
    without = dict.fromkeys(loaded, ())
    drawn = clock.once(
        lambda key: system.init_state(key).replace(**without),
        key,
        out_shardings=shardings.replace(**without),
    )
    return drawn.replace(**loaded)


def check_data(system: System, directory: Path, ways: int, mesh: str) -> None:
    """Reads the data on every process and keeps `system.files()` in `directory`.

    ways: number of parts into which the mesh splits a batch.  mesh: its text, for the error.
    Raises UserError if `ways` does not divide the rows of a batch, or if the data cannot be read,
    differ from the data of a resumed run, or differ between processes.
    """

    def digest():
        texts, batch = system.files(), jax.tree.leaves(system.batches(0))
        if processes.is_first():
            with files.writing(directory):
                directory.mkdir(parents=True, exist_ok=True)
                rundir.keep(directory, texts)
            if summary := system.summary():
                print(summary, flush=True)
        if any(x.shape[0] % ways for x in jax.tree.leaves(system.batch)):
            raise UserError(
                f"--mesh {mesh} splits a batch {ways} ways, which does not divide its rows; "
                "change batch or the mesh"
            )
        content = [json.dumps(texts).encode(), *(x.tobytes() for x in batch)]
        return hashlib.sha256(b"".join(content)).hexdigest()

    digests = processes.everyone(digest)
    for index, value in enumerate(digests):
        if value != digests[0]:
            raise UserError(
                f"process {index} reads other data than process 0; all hosts need the same files"
            )


def config_of(directory: Path):
    """The config of a run directory. Raises UserError for any other directory."""
    return rundir.stored(directory)[0]


def restore(directory: Path, init_state) -> State:
    """The newest saved state of a run, on one device; `init_state(key)` gives its shapes."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(directory / "checkpoints") as checkpoints:
        return checkpoints.restore(
            with_shardings(jax.eval_shape(init_state, jax.random.key(0)), device)
        )


def with_shardings(abstract, shardings):
    """`abstract` as ShapeDtypeStructs with `shardings`, a tree prefix of it."""
    put = lambda sharding, tree: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
    return jax.tree.map(
        put, shardings, abstract, is_leaf=lambda x: isinstance(x, jax.sharding.Sharding)
    )


def write(directory: Path, result: Result, record: dict, formats: Sequence[str]) -> None:
    """Writes the figures of `result`, and `record` as result.json."""
    with files.writing(directory):
        rundir.write_figures(directory, result.figures, formats)
        files.replace(directory / "result.json", files.as_json(record, indent=2) + "\n")


def new_directory(name: str) -> Path:
    """Makes a new directory runs/<name>/<time>, also while other processes do so.

    If the clock was set back, the time is one second after the newest run, so that names stay in
    order.
    """
    after = [datetime.strptime(path.name, STARTED) + SECOND for path in _started(name)]
    begin = max([datetime.fromtimestamp(time.time()), *after])
    with files.writing(_runs(name)):
        _runs(name).mkdir(parents=True, exist_ok=True)
        for seconds in itertools.count():
            directory = _runs(name) / (begin + seconds * SECOND).strftime(STARTED)
            with contextlib.suppress(FileExistsError):
                directory.mkdir()
                return directory


def newest_directory(name: str) -> Path:
    """The newest run of `name` below runs/. Raises UserError if there is none."""
    started = _started(name)
    if not started:
        raise UserError(f"no run of {name} to resume in {_runs(name)}; give --workdir")
    return started[-1]


def _runs(name: str) -> Path:
    """The folder of the runs of an entry such as lm/llama, or of a Python file."""
    if name.endswith(".py"):
        parts = Path(os.path.relpath(name)).with_suffix("").parts
        name = "-".join(part for part in parts if part != os.pardir)
    return Path("runs") / name.replace("/", "-")


def _started(name: str) -> list[Path]:
    """Directories of runs below runs/<name>, the newest last."""
    return sorted(
        p.parent
        for p in _runs(name).glob("*/config.json")
        if re.fullmatch(r"\d{8}-\d{6}", p.parent.name)
    )
