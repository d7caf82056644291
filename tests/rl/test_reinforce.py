"""REINFORCE: the exact gradient of a bandit, and probes with known best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.rl import on_policy, reinforce
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Observation
from panorax.rl.policies import gru, mlp

LEARNED = {"atol": 0.15}
"""error of a policy that is learned from samples"""
SAMPLING = {"atol": 0.03}
"""error of a gradient from 4096 episodes, five standard errors of its entries"""
KEY = jax.random.key(0)
BASE = reinforce.Config(
    policy=mlp.Config(hidden=(16,)),
    optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.99, eps=1e-5, clip=1e3),
    run=Run(steps=300, chunk=300),
    n_envs=32,
    discount=0.9,
    eval_episodes=16,
    seeds=0,
)


def test_gradient_is_the_exact_policy_gradient_for_every_baseline():
    cfg = dataclasses.replace(BASE, environment=probes.Config("policy"), n_envs=4096)
    envs, _, policy = on_policy.parts(cfg)
    state = reinforce.system(cfg).init_state(KEY)
    views = jnp.array([-1.0, 1.0])

    def expected_return(params):
        observation = Observation(views.reshape(2, 1, 1))
        _, pi, _ = policy.apply(params, (), observation, jnp.zeros((2, 1), bool))
        p = jax.nn.softmax(pi.logits[:, 0])
        return jnp.mean((p[:, 1] - p[:, 0]) * views)

    @jax.jit
    def gradients(key):
        _, episodes = reinforce.play(state, key, policy, envs, cfg)
        losses = lambda params: reinforce.losses(params, episodes, policy, cfg)["policy"]
        return jax.jacrev(losses)(state.params), jax.grad(expected_return)(state.params)

    estimates, exact = gradients(KEY)
    assert np.abs(exact["actor"]["head"]["out"]["w"]).max() > 0.2
    for name in reinforce.BASELINES:
        for ours, theirs in zip(jax.tree.leaves(estimates[name]), jax.tree.leaves(exact)):
            np.testing.assert_allclose(-ours, theirs, **SAMPLING)


def test_a_policy_with_memory_solves_the_memory_probe(trained):
    cfg = dataclasses.replace(
        BASE, environment=probes.Config("memory"), policy=gru.Config(width=16), baseline="mean"
    )
    assert trained(cfg)[1] == 1


def test_learns_the_best_continuous_action(trained):
    respond, _ = trained(dataclasses.replace(BASE, environment=probes.Config("continuous")))
    np.testing.assert_allclose(np.asarray(respond([-1, 1])[0])[:, 0], [-0.5, 0.5], **LEARNED)


def test_mean_baseline_needs_another_episode():
    with pytest.raises(ValueError, match="n_envs of at least 2"):
        reinforce.Config(n_envs=1)
