"""Distributions and PPO's loss against torch, GAE against stable-baselines3, gymnax dynamics
against gymnasium.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.ops.distributions import Categorical, DiagonalGaussian, MultiCategorical, masked
from panorax.ops.returns import gae
from panorax.rl import ppo
from panorax.rl.environments import from_gymnax
from panorax.rl.environments.environment import Box, Discrete, Observation
from panorax.rl.policies import mlp
from panorax.testing.tolerances import LAYER, MODEL

DISTRIBUTIONS = {
    "distributions/categorical": (("logits",), Categorical),
    "distributions/multi_categorical": (
        ("first", "second"),
        lambda *logits: MultiCategorical(tuple(map(Categorical, logits))),
    ),
    "distributions/diagonal_gaussian": (("mean", "log_std"), DiagonalGaussian),
}


def measured(distribution, action):
    """Log-probability and entropy, stacked along a first axis."""
    return jnp.stack([distribution.log_prob(action), distribution.entropy()])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_log_prob_and_entropy(golden, name):
    inputs, make = DISTRIBUTIONS[name]
    with golden(name) as case:
        action = case["action"]
        case.check_vjp(lambda *args: measured(make(*args), action), inputs)


def test_masked_logits(golden):
    with golden("distributions/masked") as case:
        legal, action = case["legal"], case["action"]
        make = lambda logits: Categorical(masked(logits, legal))
        case.check_vjp(lambda logits: measured(make(logits), action), ("logits",))


def test_gae(golden):
    with golden("returns/gae") as case:
        names = ("reward", "value", "next_value", "terminated", "truncated")
        rollout = [case[name] for name in names]
        advantage = jax.jit(functools.partial(gae, **case.settings()))(*rollout)
        np.testing.assert_allclose(advantage, case["out"], **LAYER)


def policy_params(theirs: dict) -> dict:
    """Parameters of `panorax.rl.policies.mlp` from torch's, whose matrices are (out, in)."""
    left = dict(theirs)

    def dense(name):
        return {"w": left.pop(f"{name}.weight").T, "b": left.pop(f"{name}.bias")}

    params = {net: {"torso": (dense(f"{net}.0"), dense(f"{net}.2"))} for net in ("actor", "critic")}
    log_std = {"log_std": left.pop("log_std")} if "log_std" in left else {}
    params["actor"]["head"] = {"out": dense("actor.4"), **log_std}
    params["critic"]["head"] = dense("critic.4")
    assert not left, f"unused weights: {', '.join(left)}"
    return params


@pytest.mark.parametrize(
    "name, space", [("ppo/discrete", Discrete(3)), ("ppo/gaussian", Box((-1.0,) * 2, (1.0,) * 2))]
)
def test_ppo_loss_and_gradients(golden, name, space):
    with golden(name) as case:
        cfg = ppo.Config(policy=mlp.Config(hidden=(8, 8)), **case.settings())
        params, gradients = policy_params(case.group("param")), policy_params(case.group("grad"))
        policy = mlp.policy(cfg.policy, (4,), space)
        chex.assert_trees_all_equal_shapes(params, core_spec.abstract(policy.spec))
        names = ("action", "log_prob", "value", "advantage")
        batch = ppo.Batch(
            observation=Observation(case["view"][:, None]),
            first=jnp.zeros((24, 1), bool),
            memory=(),
            **{name: case[name][:, None] for name in names},
        )
        loss_fn = lambda params: ppo.loss_fn(params, (), batch, None, policy, cfg)[0]
        our_loss, our_gradients = jax.jit(jax.value_and_grad(loss_fn))(params)
        np.testing.assert_allclose(our_loss, case["loss"], **LAYER)
        chex.assert_trees_all_close(our_gradients, gradients, **MODEL)


STATES = {
    "environments/CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "environments/MountainCar-v0": ("position", "velocity"),
    "environments/Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "environments/Pendulum-v1": ("theta", "theta_dot"),
}


@pytest.mark.parametrize("name", STATES)
def test_dynamics_against_gymnasium(golden, name):
    env = from_gymnax.make(from_gymnax.Config(name.removeprefix("environments/")))

    @jax.jit
    @jax.vmap
    def episode(values, actions):
        state, _ = env.reset(jax.random.key(0))
        state = state.replace(**dict(zip(STATES[name], values, strict=True)))

        def step(state, action):
            state, after = env.step(jax.random.key(0), state, action)
            return state, (after.observation.view, after.reward, after.terminated)

        return jax.lax.scan(step, state, actions)[1]

    with golden(name) as case:
        assert env.max_steps == case.settings()["max_steps"]
        view, reward, terminated = episode(case["state"], case["action"])
        alive = np.asarray(case["alive"])
        np.testing.assert_array_equal(terminated[alive], case["terminated"][alive])
        np.testing.assert_allclose(view[alive], case["view"][alive], **MODEL)
        np.testing.assert_allclose(reward[alive], case["reward"][alive], **MODEL)
