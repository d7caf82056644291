"""DreamerV3 on probe environments with known best actions."""

import dataclasses

import jax
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.nets.recurrent.rssm import Config as RSSM
from panorax.rl import dreamer
from panorax.rl.environments import from_gymnax, probes
from panorax.rl.torsos.mlp import Config as MLP

KEY = jax.random.key(0)
HEAD = MLP((16,), layer_norm=True, activation="silu")
BASE = dreamer.Config(
    environment=probes.Config("memory", delay=2),
    model=RSSM(recurrent=16, variables=4, classes=4, hidden=16, blocks=2),
    encoder=HEAD,
    head=HEAD,
    optim=AdamW(peak_lr=3e-3, schedule="constant", b2=0.999, clip=100.0),
    run=Run(steps=300, chunk=300),
    n_envs=8,
    updates=1,
    capacity=512,
    fill=32,
    batch=8,
    sequence=16,
    horizon=4,
    discount=0.9,
    eval_episodes=32,
)


def test_the_agent_remembers_the_cue_and_learns_the_best_action_in_imagination():
    system = dreamer.system(BASE)

    @jax.jit
    def train(key):
        state, metrics = scan_steps(
            system.train_step, system.init_state(key), (), key, BASE.run.steps
        )
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, metrics, total / n

    state, metrics, mean_return = train(KEY)
    assert float(mean_return) > 0.9
    assert int(state.extra.replay.filled) == 512
    assert all(np.isfinite(x) for x in metrics.values())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"capacity": 33}, "capacity 33 and fill 32 must be multiples of the 4 steps"),
        ({"sequence": 64}, "fill must be between the 64 steps of a sequence"),
    ],
)
def test_options_that_cannot_work_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(BASE, **changes)


def test_a_choice_of_several_actions_is_refused():
    with pytest.raises(UserError, match="actions of a Discrete or a Box"):
        dreamer.system(dataclasses.replace(BASE, environment=probes.Config("combination")))


def test_conv_encodes_images_and_the_model_of_1m_parameters_has_its_size():
    from panorax.core import spec

    system = dreamer.system(dreamer.Config(environment=from_gymnax.Config("Breakout-MinAtar")))
    assert 0.7e6 < spec.count(system.spec) < 1.3e6
