"""SAC on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.state import State
from panorax.core.step import scan_steps
from panorax.engine.loop import Clock
from panorax.ops.distributions import TanhGaussian
from panorax.rl import actor_critic, sac
from panorax.rl.environments import from_gymnax, probes
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.torsos import mlp

LEARNED = {"atol": 0.15}
"""error of a value or an action that is learned from samples, and bias by the temperature"""

KEY = jax.random.key(0)
BASE = sac.Config(
    actor=mlp.Config((16,)),
    critic=mlp.Config((16,)),
    optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.999, clip=1e6),
    run=Run(steps=100, chunk=100),
    n_envs=8,
    updates=5,
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
    system = sac.system(cfg)
    train = lambda key: scan_steps(
        system.train_step, system.init_state(key), (), key, cfg.run.steps
    )
    return actor_critic.networks(cfg, (1,), 1, 2), Clock().once(train, KEY)[0]


def test_the_critics_bootstrap_at_time_limits_and_not_behind_terminal_states():
    nets, state = trained(probes.Config("time_limit", box=True))
    view = jnp.array([[1.0], [-1.0]])
    q = nets.critics(state.params["critics"], view, jnp.zeros((2, 1)))
    np.testing.assert_allclose(q, [[1, 2], [1, 2]], **LEARNED)


def test_the_actor_learns_the_best_action():
    nets, state = trained(probes.Config("continuous"))
    view = jnp.array([[-1.0], [1.0]])
    mode = sac.policy_of(state.params["policy"]["actor"], view, nets).mode()
    np.testing.assert_allclose(mode[:, 0], [-0.5, 0.5], **LEARNED)


def test_actions_in_the_environment_are_samples_of_the_policy(monkeypatch):
    monkeypatch.setattr(actor_critic, "train", lambda state, key, choose, *rest: choose)
    pi = lambda params, view, nets: TanhGaussian(jnp.zeros_like(view), jnp.log(0.1 + 0 * view))
    monkeypatch.setattr(sac, "policy_of", pi)
    state = State({"policy": {"actor": ()}}, (), (), 0)
    choose = sac.train_step(state, (), KEY, None, None, None, -1.0, BASE)
    assert abs(float(jnp.std(choose(jnp.zeros((1000, 1)), KEY))) - 0.1) < 0.01


def test_the_policy_is_updated_against_the_updated_critics(monkeypatch):
    """`update` adds 1 to what it trains."""
    critics = []

    def update(loss, tx, params, opt, extra, batch, key):
        critics.append(loss.keywords.get("critics"))
        return jax.tree.map(lambda x: x + 1, params), opt, extra, {}

    monkeypatch.setattr(sac, "update", update)
    zero = {"critics": 0.0, "policy": 0.0}
    (params, _, target), *_ = sac.learn((zero, zero, 0.0), (), KEY, None, zero, -1.0, BASE)
    assert params == {"critics": 1.0, "policy": 1.0} and critics == [None, 1.0]
    assert target == BASE.polyak


@pytest.mark.parametrize(
    "space, words",
    [
        (Discrete(3), r"needs continuous actions, and the environment has Discrete\(n=3\)"),
        (Box((-1.0, -jnp.inf), (1.0, 1.0)), "needs actions with finite bounds"),
        (Box((-1.0, 0.0), (1.0, 1.0)), "needs actions with finite bounds"),
    ],
)
def test_other_action_spaces_are_refused(space, words):
    with pytest.raises(UserError, match=words):
        actor_critic.actions_of(space)


def test_an_environment_with_discrete_actions_is_refused():
    with pytest.raises(UserError, match="needs continuous actions"):
        sac.system(dataclasses.replace(BASE, environment=from_gymnax.Config("CartPole-v1")))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"capacity": 56}, "a replay of 56 transitions is smaller than a batch of 64"),
        ({"capacity": 100}, "no multiple of the 8 environments x 1 steps"),
        ({"discount": 1.0}, "discount must be at least 0 and below 1"),
    ],
)
def test_options_that_cannot_work_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(BASE, **changes)


def test_the_report_counts_the_random_steps_before_training(monkeypatch):
    keep = lambda system, run, seeds, envs, before: before
    monkeypatch.setattr(actor_critic, "report_of", keep)
    cfg = dataclasses.replace(BASE, seeds=2, environment=probes.Config("continuous"))
    assert sac.system(cfg).report == 64


def test_the_random_steps_fill_the_replay_with_uniform_actions():
    cfg = dataclasses.replace(BASE, random_steps=500, environment=probes.Config("continuous"))
    envs = probes.environments(cfg.environment, cfg.n_envs)
    running, memory = jax.jit(lambda key: actor_critic.experience(envs, cfg, key))(KEY)
    assert int(memory.filled) == 63 and int(jnp.sum(running.episodes.finished)) == 504
    action = memory.rows.action[:, :63]
    assert abs(float(jnp.mean(action))) < 0.1 and abs(float(jnp.var(action)) - 1 / 3) < 0.05
