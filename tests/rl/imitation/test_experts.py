"""Experts: their names, and demonstrations: kept steps, weights, and the end of episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnax
from panorax.rl.imitation.experts import algorithm, demonstrations

ENVS = from_gymnax.environments(from_gymnax.Config("CartPole-v1"), 3)


def upright(memory, observation, first, key):
    """Balances the pole by the sign of a linear function of the view."""
    return memory, (observation.view @ jnp.array([0.0, 0.0, 1.0, 0.3]) > 0).astype(jnp.int32)


def always_right(memory, observation, first, key):
    """Loses the pole within a dozen steps."""
    return memory, jnp.ones(3, jnp.int32)


def drawn(act, stride):
    draw = jax.jit(lambda key: demonstrations(act, ENVS, key, stride))
    return jax.device_get(draw(jax.random.key(0)))


def test_an_episode_that_ends_early_has_weight_only_before_its_end():
    labels = drawn(always_right, 1)
    assert labels.view.shape == (1500, 4) and labels.action.shape == (1500,)
    weight = labels.weight.reshape(3, 500)
    lengths = weight.sum(1)
    assert (lengths > 5).all() and (lengths < 15).all()
    for row, length in zip(weight, lengths):
        assert row[: int(length)].all() and not row[int(length) :].any()
    first = labels.view.reshape(3, 500, 4)[:, 0]
    assert (np.abs(first) <= 0.05).all()


def test_every_stride_th_step_of_an_episode_is_kept():
    every, some = drawn(upright, 1), drawn(upright, 20)
    assert some.view.shape == (75, 4)
    by_step, kept = every.view.reshape(3, 500, 4), some.view.reshape(3, 25, 4)
    offsets = [int(np.argmin(np.abs(by_step[i] - kept[i, 0]).sum(1))) for i in range(3)]
    assert max(offsets) < 20 and len({*offsets}) > 1
    for i, offset in enumerate(offsets):
        np.testing.assert_array_equal(kept[i], by_step[i, offset::20])


def test_an_algorithm_has_a_name():
    assert algorithm("panorax.configs.rl.ppo:smoke").n_envs == 4
    with pytest.raises(UserError, match="no config 'nothing:f'; it is written module:function"):
        algorithm("nothing:f")
    with pytest.raises(UserError, match="configures no on-policy algorithm"):
        algorithm("panorax.configs.rl.sac:smoke")
    with pytest.raises(UserError, match="ppo_memory:smoke has a memory"):
        algorithm("panorax.configs.rl.ppo_memory:smoke")
