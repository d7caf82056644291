"""TD3 on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.state import State
from panorax.core.step import scan_steps
from panorax.engine.loop import Clock
from panorax.rl import actor_critic, td3
from panorax.rl.environments import probes
from panorax.rl.replay.experience import Transition
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import NUMBER

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
    return actor_critic.networks(cfg, (1,), 1, 1), Clock().once(train, KEY)[0]


def test_the_critics_discount_a_later_reward():
    nets, state = trained(probes.Config("discounting", box=True))
    view = jnp.array([[0.0], [1.0]])
    q = nets.critics(state.params["critics"], view, jnp.zeros((2, 1)))
    np.testing.assert_allclose(q, [[0.5, 1], [0.5, 1]], **LEARNED)


def test_the_actor_learns_the_best_action():
    nets, state = trained(probes.Config("continuous"))
    action = td3.action_of(state.params["policy"], jnp.array([[-1.0], [1.0]]), nets)
    np.testing.assert_allclose(action[:, 0], [-0.5, 0.5], **LEARNED)


def test_the_actor_and_the_targets_are_updated_once_after_every_delay(monkeypatch):
    """`update` adds 1 to what it trains, so that numbers count updates."""
    actors = []

    def update(loss, tx, params, opt, extra, batch, key):
        if tx == "policy":
            actors.append((loss.keywords["critics"], batch.reward))
        return jax.tree.map(lambda x: x + 1, params), opt, extra, {}

    monkeypatch.setattr(td3, "update", update)
    rows = Transition(*[jnp.arange(3.0)] * 6)
    zero = {"critics": jnp.float32(0), "policy": jnp.float32(0)}
    txs = {name: name for name in zero}
    cfg = dataclasses.replace(BASE, updates=3, delay=3)
    (params, _, target), *_ = td3.learn((zero, zero, zero), rows, KEY, None, txs, cfg)
    assert {name: float(x) for name, x in params.items()} == {"critics": 3, "policy": 1}
    np.testing.assert_allclose([target["critics"], target["policy"]], [0.3, 0.1], **NUMBER)
    assert [(float(critics), float(reward)) for critics, reward in actors] == [(3, 2)]


def test_actions_in_the_environment_have_noise(monkeypatch):
    monkeypatch.setattr(actor_critic, "train", lambda state, key, choose, *rest: choose)
    monkeypatch.setattr(td3, "action_of", lambda params, view, nets: 0.9 * jnp.ones_like(view))
    state = State({"policy": ()}, (), (), 0)
    choose = td3.train_step(state, (), KEY, None, None, None, BASE)
    action = choose(jnp.zeros((1000, 1)), KEY)
    assert abs(float(jnp.std(action[action < 0.9])) - 0.06) < 0.01  # half a normal, std 0.1
    assert float(jnp.max(action)) == 1.0


def test_updates_are_a_multiple_of_the_delay():
    with pytest.raises(
        ValueError, match="5 updates per training step are no multiple of the delay"
    ):
        td3.Config(updates=5)
