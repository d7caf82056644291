"""DreamerV3 on probe environments with known values and best actions."""

import dataclasses

import jax
import numpy as np
import pytest

from panorax.core import spec
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.nets.recurrent.rssm import Config as RSSM
from panorax.rl import dreamer
from panorax.rl.environments import probes
from panorax.rl.torsos.mlp import Config as MLP

KEY = jax.random.key(0)
HEAD = MLP((16,), layer_norm=True, activation="silu")
BASE = dreamer.Config(
    environment=probes.Config("policy"),
    model=RSSM(recurrent=16, variables=4, classes=4, hidden=16, blocks=2),
    encoder=HEAD,
    head=HEAD,
    bins=41,
    optim=AdamW(peak_lr=3e-3, schedule="constant", b2=0.999, clip=100.0),
    run=Run(steps=600, chunk=600),
    n_envs=8,
    updates=1,
    capacity=4096,
    random_steps=256,
    batch=16,
    sequence=8,
    starts=8,
    horizon=4,
    discount=0.9,
    eval_episodes=32,
)


def test_the_policy_of_the_imagination_is_right_in_the_world():
    system = dreamer.system(BASE)

    @jax.jit
    def train(key):
        state, metrics = scan_steps(
            system.train_step, system.init_state(key), (), key, BASE.run.steps
        )
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, metrics, total / n

    state, metrics, mean_return = train(KEY)
    assert float(mean_return) == 1.0
    assert int(state.extra.replay.filled) == 512
    assert all(np.isfinite(x) for x in metrics.values())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"bins": 4}, "bins must be odd and at least 3, got 4"),
        ({"capacity": 4100}, "4100 rows is no multiple of a rollout of 8 environments x 4 steps"),
        ({"capacity": 32}, "32 rows is smaller than a sequence of 8 in each of 8 environments"),
        ({"starts": 9}, "a sequence of 8 rows has no 9 states to start from"),
    ],
)
def test_options_that_cannot_work_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(BASE, **changes)


def test_a_choice_of_several_actions_is_refused():
    with pytest.raises(UserError, match="a Discrete space or a Box"):
        dreamer.system(dataclasses.replace(BASE, environment=probes.Config("combination")))


def test_the_default_model_has_1m_parameters():
    assert 0.7e6 < spec.count(dreamer.system(dreamer.Config()).spec) < 1.3e6
