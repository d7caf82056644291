"""What is waited for before and between the steps: the command line, compilation, the training loop.

`panorax list` imports neither jax nor a system. Of the seconds until a language model trains, tracing and lowering are a fifth, XLA the rest; how many layers are
unrolled hardly matters, 2.5 s for four of them and 2.6 for one in a trial. What runs once, as the drawing of the
first parameters does, is compiled with nothing done to make it fast (`panorax.engine.loop.Clock.once`), in half of the time. The loop's own work, batches,
metrics and progress, is done while the compiled chunk of steps before runs.
"""

import io
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.bench.panorax_llama import ADAMW
from panorax.bench.rounds import compare, spread, start
from panorax.bench.table import Table
from panorax.configs.lm import llama as main_job
from panorax.core.config import Run
from panorax.core.ranges import Count, checked
from panorax.core.step import scan_steps, stacked
from panorax.data.text import Text
from panorax.engine.checkpoint import Checkpoints
from panorax.engine.loop import Clock, fit, keys_of
from panorax.engine.metrics import Log
from panorax.lm import language_model
from panorax.nets.decoders import llama
from panorax.parallel.sharding import make_mesh, placement

HERE = "panorax.bench.startup:"
COMPILING = {"cold": HERE + "cold", "warm": HERE + "warm"}
LOOP = {"loop": HERE + "loop", "bare": HERE + "bare"}


@checked
class Config:
    """`steps` of a round of the loop; how it starts, a tenth of a second once, counts too."""

    steps: Count = 2000
    rounds: Count = 7


def benchmark(cfg: Config, folder: Path) -> Table:
    """The command line; the language model of the main job compiled without and with what an earlier process left; the loop beside its bare program."""
    table = Table("steps/s")
    listing = []
    for _ in range(cfg.rounds + 1):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "panorax.cli", "list"], check=True, stdout=subprocess.DEVNULL
        )
        listing.append(time.perf_counter() - started)
    table.metrics["list_seconds"] = spread(listing[1:])["median"]
    table.add_times("compile", start(COMPILING, {}, folder, cfg.rounds), "cold")
    measured = compare(LOOP, {"steps": cfg.steps}, folder, cfg.rounds)
    table.add("training", measured, "bare")
    table.metrics["bare_milliseconds_per_step"] = 1000 / spread(measured["bare"].rates)["median"]
    return table


def cold(setting: dict, folder: Path):
    """Nothing compiled before is used."""
    jax.config.update("jax_enable_compilation_cache", False)
    return _compiled()


def warm(setting: dict, folder: Path):
    """What an earlier process compiled is used."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return _compiled()


def _compiled():
    """The training program of lm/llama at its real size."""
    cfg, clock = main_job.get_config(), Clock()
    system, key = language_model.system(cfg), jax.random.key(0)
    state = jax.eval_shape(system.init_state, key)
    batches = jax.ShapeDtypeStruct((cfg.run.chunk, *system.batch.shape), jnp.int32)
    clock.compile(
        lambda state, batches: scan_steps(system.train_step, state, batches, key, cfg.run.chunk),
        state,
        batches,
        donate_argnums=0,
    )
    return {"compile_seconds": clock.compiling, "version": jax.__version__}, lambda: 1


def _system(steps: int):
    """A model whose step takes about 5 ms on two cores."""
    model = llama.Model(
        vocab=257, d_model=96, n_layers=2, n_heads=3, n_kv_heads=3, d_ff=256, unroll=2
    )
    run = Run(steps=steps, chunk=20)
    return language_model.system(
        language_model.Config(
            model, Text(tokenizer="bytes"), optim=ADAMW, run=run, batch=8, context=48, stride=48
        )
    ), run


class Timed(Log):
    """The log of a run that knows when its first step was asked for and when its last was done, and how much was compiled before."""

    def __init__(self, directory: Path, clock: Clock):
        super().__init__(directory, out=io.StringIO())
        self.clock = clock

    def start(self, step: int, steps: int) -> None:
        super().start(step, steps)
        self.began, self.compiled = time.perf_counter(), self.clock.compiling

    def train(self, step: int, metrics: dict[str, float]) -> None:
        super().train(step, metrics)
        self.ended = time.perf_counter()


def loop(setting: dict, folder: Path):
    """`panorax.engine.loop.fit` as `panorax run` calls it, with log and checkpoints; compiling and what ends a run are not counted."""
    system, run = _system(setting["steps"])
    key, rounds, facts = jax.random.key(0), iter(range(1 << 30)), {"version": jax.__version__}
    place = placement(system, jax.eval_shape(system.init_state, key), make_mesh(""))

    def work():
        started, directory, clock = time.perf_counter(), folder / f"run{next(rounds)}", Clock()
        directory.mkdir()
        state = clock.once(system.init_state, key, out_shardings=place.state)
        with Timed(directory, clock) as log, Checkpoints(directory / "checkpoints") as checkpoints:
            fit(system, run, state, keys_of(0), place, log, checkpoints, clock)
        looped = log.ended - log.began - (clock.compiling - log.compiled)
        facts["not_counted"] = time.perf_counter() - started - looped
        return run.steps

    return facts, work


def bare(setting: dict, folder: Path):
    """The program that the loop compiles, called with batches that are there already."""
    system, run = _system(setting["steps"])
    key, clock = jax.random.key(0), Clock()
    state = clock.once(system.init_state, key)
    batches = [
        jax.device_put(stacked(system.batches, i, run.chunk))
        for i in range(0, run.steps, run.chunk)
    ]
    program = clock.compile(
        lambda state, batches: scan_steps(system.train_step, state, batches, key, run.chunk),
        state,
        batches[0],
        donate_argnums=0,
    )

    def work():
        nonlocal state
        for some in batches:
            state, metrics = program(state, some)
        facts["loss"] = float(np.asarray(metrics["loss"]))
        return run.steps

    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}
    return facts, work
