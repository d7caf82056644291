"""Training of a System from start to end inside a run, such as a base, a teacher or a rival."""

import math
from collections.abc import Callable

import jax
import numpy as np

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.state import System
from panorax.core.step import scan_steps, stacked
from panorax.parallel import processes
from panorax.parallel.sharding import MESH_AXES, placement


def trained(system: System, run: Run, mesh, **start):
    """Parameters of `system` after `run.steps` steps with the seed and batches of the run.

    `trainer` documents `start` and errors.
    """
    return trainer(system, run, mesh)(run.seed, system.batches, **start)


def trainer(system: System, run: Run, mesh) -> Callable:
    """A function train(seed, batches, **start) that trains for `run.steps` steps.

    It returns the parameters, and is compiled once for all seeds. All random numbers follow from
    `seed`; `batches(step)` are the batches. start: fields of the first State, such as `params` and
    `extra`, which are not donated; other fields are drawn. It raises UserError if a loss is not
    finite.
    """
    place = placement(system, jax.eval_shape(system.init_state, jax.random.key(0)), mesh)
    init = jax.jit(system.init_state, out_shardings=place.state)
    steps = jax.jit(
        lambda state, batches, key, n: scan_steps(system.train_step, state, batches, key, n),
        static_argnums=3,
        donate_argnums=0,
        out_shardings=(place.state, place.replicated),
    )

    def train(seed: int, batches: Callable, **start):
        key_init, key_train = jax.random.split(jax.random.key(seed))
        with jax.set_mesh(mesh):
            state = init(key_init)
            for name, x in start.items():  # a copy: the steps donate their state
                copied = jax.device_put(x, getattr(place.state, name), may_alias=False)
                state = state.replace(**{name: copied})
            for step in range(0, run.steps, run.chunk):
                n = min(run.chunk, run.steps - step)
                rows = processes.put(stacked(batches, step, n), place.stacked_batch)
                state, metrics = steps(state, rows, key_train, n)
                if not math.isfinite(loss := float(metrics["loss"])):
                    raise UserError(
                        f"the loss is {loss} at step {step + n}; try a lower learning rate"
                    )
        return state.params

    return train


def mesh_of(x: jax.Array) -> jax.sharding.Mesh:
    """The mesh on which `x` lies; that of its first device for an array without a mesh."""
    one_device = np.reshape(list(x.devices())[:1], (1,) * len(MESH_AXES))
    return getattr(x.sharding, "mesh", jax.sharding.Mesh(one_device, MESH_AXES))
