"""Replay beside flashbax: adding and drawing transitions inside one compiled loop on the CPU.

A step adds one row of each of N environments, draws a batch and, with priorities, changes those of
the batch. A loop that copies its replay pays for the whole replay in every step, so each kind is
measured in a small and in a large replay.
"""

import functools
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.engine.loop import Clock
from panorax.rl.replay import buffers

CONTENDERS = {
    "panorax": "panorax.bench.rl.replay:by_panorax",
    "flashbax": "panorax.bench.rl.replay:by_flashbax",
}
CASES = {
    "uniform": (False, "capacity"),
    "uniform_small": (False, "small"),
    "prioritized": (True, "capacity"),
    "prioritized_small": (True, "small"),
}
"""whether rows have priorities, and the field of Config with the rows of the replay"""
ALPHA = 0.6  # exponent of priorities


@checked
class Config:
    """The sizes of the replays."""

    capacity: Count = 1_048_576
    """transitions in a large replay"""
    small: Count = 16_384
    """transitions in a small replay"""
    n_envs: Count = 16
    """rows that a step adds [N]"""
    batch: Count = 256
    """transitions that a step draws [B]"""
    view: tuple[Count, ...] = (10, 10, 4)
    """shape of a row's view, uint8"""
    steps: Count = 1000
    """steps per round"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares every case; ratios of the table are to flashbax."""
    table, rates = Table("steps/s"), {}
    for case, (has_priorities, capacity) in CASES.items():
        setting = vars(cfg) | {"priorities": has_priorities, "capacity": getattr(cfg, capacity)}
        measured = compare(CONTENDERS, setting, folder, cfg.rounds)
        table.add(case, measured, "flashbax")
        rates[case] = np.median(measured["panorax"].rates)
        means = [rounds.facts["mean_position"] for rounds in measured.values()]
        table.metrics[f"{case}_mean_position_error"] = float(np.max(np.abs(np.array(means) - 0.5)))
    for kind in ("uniform", "prioritized"):
        table.metrics[f"{kind}_rate_over_small_rate"] = float(rates[kind] / rates[f"{kind}_small"])
    return table


def by_panorax(setting: dict, folder: Path):
    """`panorax.rl.replay`, whose rows are (N, T, ...) as those of flashbax."""
    cfg = buffers.Prioritized(alpha=ALPHA) if setting["priorities"] else buffers.Uniform()
    kind = buffers.buffer(cfg, 1)
    capacity = setting["capacity"] // setting["n_envs"]

    def draw(memory, key):
        sample = kind.draw(memory, key, setting["batch"], 0.0)
        return sample.rows, sample.index

    empty = lambda row: kind.empty(row, capacity)
    add = lambda memory, row: kind.add(memory, jax.tree.map(lambda x: x[None], row))
    return storing(empty, add, draw, kind.revise, jax.__version__, setting)


def by_flashbax(setting: dict, folder: Path):
    """Trajectory buffers of flashbax with sequences of one row."""
    import flashbax

    sizes = {
        "add_batch_size": setting["n_envs"],
        "sample_batch_size": setting["batch"],
        "sample_sequence_length": 1,
        "period": 1,
        "min_length_time_axis": 1,
        "max_size": setting["capacity"],
    }
    if setting["priorities"]:
        kind = flashbax.make_prioritised_trajectory_buffer(
            **sizes, priority_exponent=ALPHA, device="cpu"
        )
        revise = kind.set_priorities
    else:
        kind = flashbax.make_trajectory_buffer(**sizes)
        revise = lambda memory, index, priority: memory

    def draw(memory, key):
        sample = kind.sample(memory, key)
        return sample.experience, getattr(sample, "indices", None)

    empty = lambda row: kind.init(jax.tree.map(lambda x: x[0], row))
    add = lambda memory, row: kind.add(memory, jax.tree.map(lambda x: x[:, None], row))
    return storing(empty, add, draw, revise, version("flashbax"), setting)


def storing(empty, add, draw, revise, library_version: str, setting: dict):
    """Facts and work of one contender.

    `mean_position` is the mean place of the first draws in the order of insertion, from 0 (oldest)
    to 1; it is 1/2 for uniform draws from a full replay.
    """
    clock, N, capacity = Clock(), setting["n_envs"], setting["capacity"]
    view = jnp.ones((N, *setting["view"]), jnp.uint8)
    row_at = lambda time: {"view": view, "time": jnp.full(N, time, jnp.int32)}
    filling = lambda memory, time: (add(memory, row_at(time)), ())

    def one_step(memory, key):
        key_draw, key_priority = jax.random.split(key)
        memory = add(memory, row_at(0))
        rows, index = draw(memory, key_draw)
        priority = jax.random.uniform(key_priority, (setting["batch"],))
        return revise(memory, index, priority), jnp.mean(rows["view"][:, 0], dtype=jnp.float32)

    @functools.partial(jax.jit, donate_argnums=0)
    def fill(memory):
        return jax.lax.scan(filling, memory, jnp.arange(capacity // N))[0]

    memory = fill(empty(row_at(0)))
    keys = jax.random.split(jax.random.key(0), setting["steps"])
    drawn = jax.vmap(lambda key: draw(memory, key)[0]["time"])(keys[:64])
    facts = {
        "mean_position": float(jnp.mean(drawn)) / (capacity // N - 1),
        "version": library_version,
    }
    run = lambda memory, keys: jax.lax.scan(one_step, memory, keys)
    program = clock.compile(run, memory, keys, donate_argnums=0)
    facts["compile_seconds"] = clock.compiling

    def work():
        nonlocal memory
        memory, means = program(memory, keys)
        means.block_until_ready()
        return setting["steps"]

    return facts, work
