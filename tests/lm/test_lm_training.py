"""Training inside a run: all steps, any mesh, an untouched start, and a diverging loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.spec import P
from panorax.core.state import State, System, first_state
from panorax.lm.training import trained
from panorax.parallel.sharding import make_mesh


def walk(rate):
    """A System whose only parameter changes by `rate` times the batch."""
    spec = {"w": P((8,), ("embed",), jax.nn.initializers.ones)}
    tx = optax.sgd(rate)

    def train_step(state, batch, key):
        params = {"w": state.params["w"] + rate * batch[0]}
        return State(params, state.opt, (), state.step + 1), {"loss": jnp.sum(params["w"])}

    return System(
        spec=spec,
        init_state=lambda key: first_state(core_spec.init(spec, key), tx),
        train_step=train_step,
        evaluate=lambda state, batch, key: {},
        batches=lambda step: np.full(8, step, np.float32),
    )


def test_training_runs_all_steps_and_does_not_donate_its_start():
    one_device = make_mesh("")
    start = trained(walk(0.5), Run(steps=5, chunk=5), one_device)
    np.testing.assert_allclose(start["w"], 1.0 + 0.5 * (0 + 1 + 2 + 3 + 4))
    for mesh in (one_device, make_mesh("fsdp=4,data=2")):
        end = trained(walk(0.5), Run(steps=5, chunk=2), mesh, params=start)
        np.testing.assert_allclose(end["w"], 6.0 + 0.5 * 10)
    np.testing.assert_allclose(start["w"], 6.0)


def test_diverging_training_raises_an_error():
    with pytest.raises(UserError, match="the loss is nan at step 2"):
        trained(walk(float("inf")), Run(steps=2, chunk=2), make_mesh(""))
