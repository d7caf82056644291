"""Runs on offline data over seeds, side by side as one program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.config import Run
from panorax.core.state import State, System
from panorax.core.step import Keys, evaluated, keys_of
from panorax.data.batches import epochs

BatchOf = Callable  # row_B -> batch of these rows


def train_seeds(
    system: System,
    batch_of: BatchOf,
    rows: int,
    run: Run,
    batch: int,
    seeds: int,
    measure: Callable[[State, jax.Array], dict] | None = None,
):
    """The runs with the seeds run.seed, run.seed + 1, .., each as by `panorax run --run.seed`.

    A run has the same rows in each step, the same keys and the same evaluation as alone.
    rows: number of rows of the data.  batch: rows of a step.
    measure: measure(state, key) -> {name: array} instead of `system.evaluate`.
    Returns curves averaged over each chunk of steps (S, T), and evaluations (S, ...).
    """
    chosen = range(run.seed, run.seed + seeds)
    row_STB = np.stack([_rows(rows, batch, seed, run.steps) for seed in chosen])
    keys_S = jax.tree.map(lambda *keys: jnp.stack(keys), *map(keys_of, chosen))
    evaluate = lambda state, key: evaluated(system.evaluate, state, system.held_out(), key)

    def train(row_TB, keys: Keys):
        def step(state, row_B):
            key = jax.random.fold_in(keys.train, state.step)
            return system.train_step(state, batch_of(row_B), key)

        state, curves = jax.lax.scan(step, system.init_state(keys.init), row_TB)
        return curves, (measure or evaluate)(state, keys.evaluate)

    curves, evaluation = jax.device_get(jax.jit(jax.vmap(train))(jnp.asarray(row_STB), keys_S))
    starts = np.arange(0, run.steps, run.chunk)
    counts = np.minimum(run.chunk, run.steps - starts)
    means = lambda x_ST: np.add.reduceat(x_ST, starts, 1) / counts
    return {name: means(x_ST) for name, x_ST in curves.items()}, evaluation


def _rows(rows: int, batch: int, seed: int, steps: int) -> np.ndarray:
    """The rows of all steps of the run with this seed, int32 (steps, batch)."""
    return np.stack([epochs(rows, batch, seed, step) for step in range(steps)]).astype(np.int32)
