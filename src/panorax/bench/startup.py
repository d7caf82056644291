"""Start-up time of `panorax list`, compile time of lm/llama, and overhead of the training loop.

`panorax list` imports neither jax nor a system. Of the seconds until a language model trains, XLA
takes most, and tracing and lowering take the rest.

A program that runs once, such as the initialisation of the parameters, is compiled without
optimisation (`panorax.engine.loop.Clock.once`), which is faster. While a compiled chunk of
steps runs, the loop prepares the next batches and writes metrics and progress.
"""

import io
import itertools
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
from panorax.core.step import keys_of, scan_steps, stacked
from panorax.data.text import Text
from panorax.engine.checkpoint import Checkpoints
from panorax.engine.loop import Clock, fit
from panorax.engine.metrics import Log
from panorax.lm import language_model
from panorax.nets.decoders import llama
from panorax.parallel.sharding import make_mesh, placement

HERE = "panorax.bench.startup:"
COMPILING = {"cold": HERE + "cold", "warm": HERE + "warm"}
LOOP = {"loop": HERE + "loop", "bare": HERE + "bare"}


@checked
class Config:
    steps: Count = 2000
    """training steps per round; a round includes the loop's start, about 0.1 s"""
    rounds: Count = 7
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Times `panorax list`, compilation with a cold and a warm cache, and the training loop."""
    table = Table("steps/s")
    _, *seconds = [list_seconds() for _ in range(cfg.rounds + 1)]  # the first fills file caches
    table.metrics["list_seconds"] = spread(seconds)["median"]
    table.add_times("compile", start(COMPILING, {}, folder, cfg.rounds), "cold")
    measured = compare(LOOP, {"steps": cfg.steps}, folder, cfg.rounds)
    table.add("training", measured, "bare")
    table.metrics["bare_milliseconds_per_step"] = 1000 / spread(measured["bare"].rates)["median"]
    return table


def list_seconds() -> float:
    """Seconds that `panorax list` takes as a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "panorax", "list"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def cold(setting: dict, folder: Path):
    """Compiles without a compilation cache."""
    jax.config.update("jax_enable_compilation_cache", False)
    return _compiled()


def warm(setting: dict, folder: Path):
    """Compiles with the cache that an earlier process filled."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return _compiled()


def _compiled():
    """Compiles the training program of lm/llama at full size."""
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
    """A language model with short steps, which show the overhead of the loop, and its Run."""
    model = llama.Model(
        vocab=257, d_model=96, n_layers=2, n_heads=3, n_kv_heads=3, d_ff=256, unroll=2
    )
    run = Run(steps=steps, chunk=20)
    cfg = language_model.Config(
        model, Text(tokenizer="bytes"), optim=ADAMW, run=run, batch=8, context=48, stride=48
    )
    return language_model.system(cfg), run


class Timed(Log):
    """A log that notes when the loop began and when its last chunk ended (`began`, `ended`).

    `compiled` is the seconds of compilation before the loop began.
    """

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
    """`panorax.engine.loop.fit` with log and checkpoints, as `panorax run` calls it.

    Compilation and the work after the last step do not count.
    """
    system, run = _system(setting["steps"])
    key, rounds, facts = jax.random.key(0), itertools.count(), {"version": jax.__version__}
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
    """The program that the loop compiles, called with batches that are already on the device."""
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
        for chunk in batches:
            state, metrics = program(state, chunk)
        facts["loss"] = float(np.asarray(metrics["loss"]))
        return run.steps

    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}
    return facts, work
