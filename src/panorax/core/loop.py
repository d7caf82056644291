"""The one training loop: steps compiled in chunks, metrics fetched one chunk late so that the device never waits."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.checkpoint import Checkpoints
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.metrics import Log
from panorax.core.state import State, System


def scan_steps(train_step: Callable, state: State, batches, key: jax.Array, n: int):
    """`n` training steps in one program: `(state, metrics)`, metrics averaged over the steps.

    Leaves of `batches` are stacked (n, ...); `batches` is `()` for a system that makes its own data. The key of a step is
    `fold_in(key, state.step)`. Pure: `jit` it once, `vmap` it over states and keys to train many seeds at a time.
    """

    def body(state, batch):
        return train_step(state, batch, jax.random.fold_in(key, state.step))

    state, metrics = jax.lax.scan(body, state, batches, length=n)
    return state, jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32), 0), metrics)


def stacked(batches: Callable[[int], Any], start: int, n: int):
    """The batches of steps start .. start + n - 1, stacked along a new first axis."""
    return jax.tree.map(lambda *xs: np.stack(xs), *[batches(start + i) for i in range(n)])


@dataclass(frozen=True)
class Placement:
    """Where a run's values live: a sharding for every leaf of the state, one for a batch's first axis, one for what is replicated."""

    state: Any
    stacked_batch: Any
    replicated: Any


@dataclass
class Clock:
    """Seconds since the start, and the part of them spent tracing and compiling."""

    started: float = field(default_factory=time.perf_counter)
    compiling: float = 0.0

    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def compile(self, f: Callable, *args, **jit_options):
        """`jax.jit(f)` compiled for these arguments, its time counted apart."""
        before = time.perf_counter()
        compiled = jax.jit(f, **jit_options).lower(*args).compile()
        self.compiling += time.perf_counter() - before
        return compiled


def fit(
    system: System, run: Run, state: State, key: jax.Array, place: Placement, log: Log, checkpoints: Checkpoints, clock: Clock
) -> tuple[State, dict[str, float]]:
    """Train from `state` to `run.steps`, evaluating, logging and saving on the way; `state` is donated.

    Returns the final state, saved, and its evaluation. Raises UserError when the loss is not finite: the newest checkpoint is then a good one.
    """
    key_train, key_eval = jax.random.split(key)
    held_out = jax.device_put(system.held_out(), place.replicated)
    evaluate = clock.compile(
        lambda state, batch: system.evaluate(state, batch, key_eval), state, held_out, in_shardings=(place.state, place.replicated)
    )
    programs = {}

    def train(state, start, n):
        batches = jax.device_put(stacked(system.batches, start, n), place.stacked_batch)
        if n not in programs:
            programs[n] = clock.compile(
                lambda state, batches: scan_steps(system.train_step, state, batches, key_train, n),
                state, batches,
                donate_argnums=0, in_shardings=(place.state, place.stacked_batch), out_shardings=(place.state, place.replicated),
            )  # fmt: skip
        return programs[n](state, batches)

    def settle(step, metrics):
        metrics = {name: float(x) for name, x in jax.device_get(metrics).items()}
        log.train(step, metrics)
        if not math.isfinite(metrics["loss"]):
            raise UserError(_diverged(step, metrics["loss"], run, checkpoints))

    def look(step, state):
        metrics = {name: float(x) for name, x in jax.device_get(evaluate(state, held_out)).items()}
        log.evaluation(step, metrics)
        return metrics

    step, pending, evaluation = int(state.step), None, None
    log.start(step, run.steps)
    while step < run.steps:
        n = min(run.chunk, run.steps - step)
        state, metrics = train(state, step, n)
        if pending:
            settle(*pending)
        pending, evaluation = (step + n, metrics), None
        due = [every and (step + n) // every > step // every for every in (run.eval_every, run.save_every)]
        step += n
        if any(due):
            settle(*pending)
            pending = None
        if due[0]:
            evaluation = look(step, state)
        if due[1]:
            checkpoints.save(state)
    if pending:
        settle(*pending)
    checkpoints.save(state)
    return state, evaluation or look(step, state)


def _diverged(step: int, loss: float, run: Run, checkpoints: Checkpoints) -> str:
    last = checkpoints.latest()
    good = "no checkpoint was saved before it" if last is None else f"the checkpoint of step {last} in {checkpoints.directory} is good"
    return f"the loss is {loss} within steps {max(step - run.chunk, 0) + 1}-{step}; {good}; try a lower learning rate, a longer warm-up or stronger clipping"
