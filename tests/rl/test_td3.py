"""TD3 on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.rl import actor_critic, td3
from panorax.rl.environments import probes
from panorax.rl.torsos import mlp

LEARNED = {"atol": 0.1}
"""error of a value or an action that is learned from samples"""

KEY = jax.random.key(0)
BASE = td3.Config(
    actor=mlp.Config((16,)),
    critic=mlp.Config((16,)),
    optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.999, clip=1e6),
    run=Run(steps=100, chunk=100),
    n_envs=8,
    updates=6,
    batch=64,
    capacity=512,
    random_steps=64,
    discount=0.5,
    polyak=0.1,
    eval_episodes=8,
    seeds=0,
)


def trained(probe):
    """The networks and the state after training on a probe."""
    cfg = dataclasses.replace(BASE, environment=probe)
    system = td3.system(cfg)
    train = lambda key: scan_steps(
        system.train_step, system.init_state(key), (), key, cfg.run.steps
    )
    return actor_critic.networks(cfg, (1,), 1, 1), jax.jit(train)(KEY)[0]


def test_the_critics_discount_a_later_reward():
    nets, state = trained(probes.Config("discounting", box=True))
    view = jnp.array([[0.0], [1.0]])
    q = nets.critics(state.params["critics"], view, jnp.zeros((2, 1)))
    np.testing.assert_allclose(q, [[0.5, 1], [0.5, 1]], **LEARNED)


def test_the_actor_learns_the_best_action():
    nets, state = trained(probes.Config("continuous"))
    action = td3.action_of(state.params["policy"], jnp.array([[-1.0], [1.0]]), nets)
    np.testing.assert_allclose(action[:, 0], [-0.5, 0.5], **LEARNED)


def test_the_actor_and_the_targets_are_updated_after_every_delay():
    cfg = dataclasses.replace(BASE, environment=probes.Config("continuous"), updates=3, delay=3)
    system = td3.system(cfg)
    before = system.init_state(KEY)
    after, _ = jax.jit(system.train_step)(before, (), KEY)
    count = lambda opt: int(opt[1][0].count)
    assert count(after.opt["critics"]) == 3 and count(after.opt["policy"]) == 1
    expected = actor_critic.follow(before.params, after.params, cfg.polyak)
    for theirs, ours in zip(jax.tree.leaves(expected), jax.tree.leaves(after.extra.target)):
        np.testing.assert_array_equal(theirs, ours)


def test_updates_are_a_multiple_of_the_delay():
    with pytest.raises(
        ValueError, match="5 updates per training step are no multiple of the delay"
    ):
        td3.Config(updates=5)
