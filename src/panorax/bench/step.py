"""Measures the speed of a system's training step; compilation is counted separately."""

import statistics
import time

import jax

from panorax.core import config, spec
from panorax.core.state import System
from panorax.core.step import scan_steps, stacked
from panorax.engine.loop import Clock
from panorax.engine.provenance import provenance


def bench_step(name: str, system: System, run: config.Run, repeats: int) -> dict:
    """Times `repeats` chunks of `run.chunk` steps, after one warm-up chunk that does not count.

    Returns a record for JSON: the steps per second (median and range over the chunks), seconds of
    compilation, parameters, the last loss, and the versions, device and commit.
    """
    clock, key = Clock(), jax.random.key(run.seed)
    state = jax.jit(system.init_state)(key)
    batches = jax.device_put(stacked(system.batches, 0, run.chunk))
    steps = clock.compile(
        lambda s, b: scan_steps(system.train_step, s, b, key, run.chunk),
        state,
        batches,
        donate_argnums=0,
    )
    rates = []
    for _ in range(repeats + 1):
        before = time.perf_counter()
        state, metrics = jax.block_until_ready(steps(state, batches))
        rates.append(run.chunk / (time.perf_counter() - before))
    rates = sorted(rates[1:])
    return {
        "config": name,
        "parameters": spec.count(system.spec),
        "compile_seconds": round(clock.compiling, 2),
        "steps_per_second": {
            "median": statistics.median(rates),
            "lowest": rates[0],
            "highest": rates[-1],
            "repeats": repeats,
        },
        "loss": float(metrics["loss"]),
        **provenance(),
    }
