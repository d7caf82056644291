"""A2C on probe environments with known values and best actions."""

import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl import a2c
from panorax.rl.environments import probes
from panorax.rl.policies import mlp

LEARNED = {"atol": 0.15}
"""error of a policy and of values that are learned from samples"""


def probe(name, **changes):
    """The config of A2C on a probe."""
    return a2c.Config(
        environment=probes.Config(name),
        policy=mlp.Config(hidden=(16,)),
        optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.999, eps=1e-5, clip=0.5),
        run=Run(steps=600, chunk=600),
        n_envs=16,
        discount=0.5,
        eval_episodes=16,
        **changes,
    )


def test_learns_the_best_actions_and_their_values(trained):
    respond, mean_return = trained(probe("policy", entropy_weight=0.01))
    mode, value = respond([-1, 1])
    np.testing.assert_array_equal(mode, [0, 1])
    np.testing.assert_allclose(value, [1, 1], **LEARNED)
    assert mean_return == 1


def test_bootstraps_at_a_time_limit_only(trained):
    respond, _ = trained(probe("time_limit"))
    np.testing.assert_allclose(respond([1, -1])[1], [1, 2], **LEARNED)


def test_learns_the_best_continuous_action(trained):
    respond, _ = trained(probe("continuous"))
    np.testing.assert_allclose(np.asarray(respond([-1, 1])[0])[:, 0], [-0.5, 0.5], **LEARNED)


def test_config_rejects_a_rollout_of_no_steps():
    with pytest.raises(ValueError, match="length must be at least 1"):
        a2c.Config(length=0)
