"""Training of a System from start to end inside a run, such as a base, a teacher or a rival."""

import math

import jax

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.state import System
from panorax.core.step import scan_steps, stacked
from panorax.parallel import processes
from panorax.parallel.sharding import placement


def trained(system: System, run: Run, mesh, params=None):
    """Parameters of `system` after `run.steps` steps, from `params` or from random initial values.

    All random numbers follow from `run.seed`. `params` is not donated.
    Raises UserError if a loss is not finite.
    """
    key_init, key_train = jax.random.split(jax.random.key(run.seed))
    place = placement(system, jax.eval_shape(system.init_state, key_init), mesh)
    steps = jax.jit(
        lambda state, batches, key, n: scan_steps(system.train_step, state, batches, key, n),
        static_argnums=3,
        donate_argnums=0,
        out_shardings=(place.state, place.replicated),
    )
    with jax.set_mesh(mesh):
        state = jax.jit(system.init_state, out_shardings=place.state)(key_init)
        # a copy: the steps donate their state
        start = jax.device_put(params or state.params, place.state.params, may_alias=False)
        state = state.replace(params=start)
        for step in range(0, run.steps, run.chunk):
            n = min(run.chunk, run.steps - step)
            batches = processes.put(stacked(system.batches, step, n), place.stacked_batch)
            state, metrics = steps(state, batches, key_train, n)
            if not math.isfinite(loss := float(metrics["loss"])):
                raise UserError(f"the loss is {loss} at step {step + n}; try a lower learning rate")
    return state.params
