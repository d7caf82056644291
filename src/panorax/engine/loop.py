"""The training loop: compiled chunks of steps.

The host reads the metrics of a chunk while the next chunk runs, so that the device never waits.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.config import Run
from panorax.core.errors import Interrupted, UserError
from panorax.core.state import State, System
from panorax.core.step import Keys, evaluated, scan_steps, stacked
from panorax.engine import memory
from panorax.engine.checkpoint import Checkpoints
from panorax.engine.interrupts import Interrupts
from panorax.engine.metrics import Log
from panorax.parallel import processes
from panorax.parallel.sharding import Placement

CPU_LEVEL = 1  # LLVM's optimisation level: as fast as level 3, and compiles sooner


@dataclass
class Clock:
    """Seconds since the start (`elapsed`) and seconds of tracing and compilation (`compiling`).

    Compiling raises UserError if the program needs more memory than its devices have, and if the
    user has disabled compilation.
    """

    started: float = field(default_factory=time.perf_counter)
    compiling: float = 0.0

    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def compile(self, f: Callable, *args, **jit_options):
        """Compiles `jax.jit(f)` for these arguments, at CPU_LEVEL on a CPU, and adds the time."""
        return self._compile(CPU_LEVEL, f, args, jit_options)

    def once(self, f: Callable, *args, **jit_options):
        """Returns `f(*args)`, compiled to run once.

        On a CPU it uses LLVM's level 0, which compiles sooner than level 1.
        """
        return self._compile(0, f, args, jit_options)(*args)

    def _compile(self, cpu_level: int, f: Callable, args: tuple, jit_options: dict):
        if jax.config.jax_disable_jit:
            raise UserError("JAX_DISABLE_JIT is set, but training compiles its steps; unset it")
        started = time.perf_counter()
        options = (
            {"xla_backend_optimization_level": cpu_level} if jax.default_backend() == "cpu" else {}
        )
        compiled = jax.jit(f, **jit_options).lower(*args).compile(compiler_options=options)
        self.compiling += time.perf_counter() - started
        memory.check(compiled)
        return compiled


def fit(
    system: System,
    run: Run,
    state: State,
    keys: Keys,
    place: Placement,
    log: Log,
    checkpoints: Checkpoints,
    clock: Clock,
) -> tuple[State, dict[str, float]]:
    """Trains from `state`, which is donated, to `run.steps`; evaluates, logs and saves.

    Returns the final state, which is saved, and its evaluation. Raises UserError if the loss is not
    finite or too many steps are skipped; the newest checkpoint then predates the failure. Raises
    Interrupted after SIGINT, SIGTERM or SIGHUP to any process, with everything saved.
    """
    train_step = dropping(system.train_step) if run.on_nan == "skip" else system.train_step

    def evaluate_batch(state, batch, key_data):
        return system.evaluate(state, batch, jax.random.wrap_key_data(key_data))

    with jax.set_mesh(place.replicated.mesh):
        evaluate = clock.compile(
            evaluate_batch,
            state,
            processes.put(next(iter(system.held_out())), place.batch),
            jax.random.key_data(keys.evaluate),
            in_shardings=(place.state, place.batch, place.replicated),
            out_shardings=place.replicated,
        )
    programs = {}

    def train(state, start, n):
        batches = processes.put(stacked(system.batches, start, n), place.stacked_batch)
        if n not in programs:
            programs[n] = clock.compile(
                lambda state, batches: scan_steps(train_step, state, batches, keys.train, n),
                state,
                batches,
                donate_argnums=0,
                in_shardings=(place.state, place.stacked_batch),
                out_shardings=(place.state, place.replicated),
            )
        return programs[n](state, batches)

    def record(step, n, metrics):
        nonlocal skipped
        metrics = {name: float(x) for name, x in jax.device_get(metrics).items()}
        share = metrics.get("skipped", 0.0)
        if 0 < share < 1:  # means over the steps that were not skipped
            metrics = {
                name: x if name == "skipped" else x / (1 - share) for name, x in metrics.items()
            }
        skipped += round(share * n)
        log.train(step, metrics)
        if share == 1 or skipped > run.max_skipped or not math.isfinite(metrics["loss"]):
            reason = _diverged(step, n, metrics["loss"], skipped, checkpoints)
            raise UserError(f"{reason}; {_advice(system, range(step - n, step))}")

    def evaluation_of(step, state):
        def totals(state, batch, key):
            data = processes.put(jax.random.key_data(key), place.replicated)
            return jax.device_get(evaluate(state, processes.put(batch, place.batch), data))

        means = evaluated(totals, state, system.held_out(), keys.evaluate)
        metrics = {name: float(x) for name, x in means.items()}
        log.evaluation(step, metrics)
        return metrics

    step, skipped, pending, evaluation = int(state.step), 0, None, None
    log.start(step, run.steps)
    vote = processes.Vote()
    with Interrupts(log.above) as interrupts, jax.set_mesh(place.replicated.mesh):
        while step < run.steps and not (stop := vote(interrupts.received)):
            until_evaluation = (
                run.eval_every - step % run.eval_every if run.eval_every else run.steps
            )
            n = min(run.chunk, run.steps - step, until_evaluation)
            state, metrics = train(state, step, n)
            if pending:
                record(*pending)
            pending, evaluation = (step + n, n, metrics), None
            evaluation_due, save_due = [
                every and (step + n) // every > step // every
                for every in (run.eval_every, run.save_every)
            ]
            step += n
            if evaluation_due or save_due:
                record(*pending)
                pending = None
            if evaluation_due:
                evaluation = evaluation_of(step, state)
            if save_due:
                checkpoints.save(state)
        if pending:
            record(*pending)
        checkpoints.save(state)
        if step < run.steps:
            raise Interrupted(stop, step)
        return state, evaluation or evaluation_of(step, state)


def dropping(train_step: Callable) -> Callable:
    """Returns a `train_step` that skips steps whose loss or gradient is not finite.

    A skipped step only advances the step counter, and its metrics are 0. The new metric `skipped`
    is 1 for a skipped step and 0 for any other.
    """

    def step(state, batch, key):
        updated, metrics = train_step(state, batch, key)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics.get("grad_norm", 0.0))
        select = lambda new, old: jnp.where(finite, new, old)
        state = jax.tree.map(select, updated, state.replace(step=updated.step))
        metrics = jax.tree.map(lambda x: select(x, jnp.zeros_like(x)), metrics)
        return state, metrics | {"skipped": 1.0 - finite}

    return step


def _diverged(step: int, n: int, loss: float, skipped: int, checkpoints: Checkpoints) -> str:
    newest = checkpoints.latest()
    if skipped:
        reason = f"{skipped} steps were skipped up to step {step}"
    else:
        reason = f"the loss is {loss} within steps {step - n + 1}-{step}"
    if newest is None:
        fallback = "no checkpoint was saved before it"
    else:
        fallback = f"the checkpoint of step {newest} in {checkpoints.directory} is good"
    return f"{reason}; {fallback}"


def _advice(system: System, steps: range) -> str:
    """The remedy to try after a loss that is not finite in one of these steps."""
    for step in steps:
        for path, leaf in jax.tree.leaves_with_path(system.batches(step)):
            if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
                name = f"batch{jax.tree_util.keystr(path)}"
                return f"the data are not finite: {name} of step {step}; correct them"
    return "the data are finite; try a lower learning rate, a longer warm-up or stronger clipping"
