"""Distributions and PPO's loss against torch, advantages against stable-baselines3, dynamics against gymnasium."""

import functools

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

DISTRIBUTIONS = {
    "distributions/categorical": (("logits",), Categorical),
    "distributions/multi_categorical": (
        ("first", "second"),
        lambda *logits: MultiCategorical(tuple(map(Categorical, logits))),
    ),
    "distributions/diagonal_gaussian": (("mean", "log_std"), DiagonalGaussian),
}


def both(distribution, action):
    """Log-probability and entropy, stacked along a first axis."""
    return jnp.stack([distribution.log_prob(action), distribution.entropy()])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_log_prob_and_entropy(golden, name):
    inputs, make = DISTRIBUTIONS[name]
    with golden(name) as case:
        action = case["action"]
        case.check_vjp(lambda *args: both(make(*args), action), inputs)


def test_masked_logits(golden):
    with golden("distributions/masked") as case:
        legal, action = case["legal"], case["action"]
        case.check_vjp(lambda logits: both(Categorical(masked(logits, legal)), action), ("logits",))


def test_gae(golden):
    with golden("returns/gae") as case:
        rollout = [
            case[name] for name in ("reward", "value", "next_value", "terminated", "truncated")
        ]
        advantage = jax.jit(functools.partial(gae, **case.settings()))(*rollout)
        np.testing.assert_allclose(advantage, case["out"], rtol=1e-5, atol=2e-6)


def policy_params(theirs: dict) -> dict:
    """The tree of `panorax.rl.policies.mlp` from torch's names, whose matrices are (out, in); every entry must be used."""
    left = dict(theirs)

    def dense(name):
        return {"w": left.pop(f"{name}.weight").T, "b": left.pop(f"{name}.bias")}

    params = {net: {"torso": (dense(f"{net}.0"), dense(f"{net}.2"))} for net in ("actor", "critic")}
    log_std = {"log_std": left.pop("log_std")} if "log_std" in left else {}
    params["actor"]["head"] = {"out": dense("actor.4"), **log_std}
    params["critic"]["head"] = dense("critic.4")
    assert not left, f"weights that have no place here: {', '.join(left)}"
    return params


@pytest.mark.parametrize(
    "name, space", [("ppo/discrete", Discrete(3)), ("ppo/gaussian", Box((-1.0,) * 2, (1.0,) * 2))]
)
def test_ppo_loss_and_gradients(golden, name, space):
    with golden(name) as case:
        cfg = ppo.Config(policy=mlp.Config(hidden=(8, 8)), **case.settings())
        params, gradients = policy_params(case.group("param")), policy_params(case.group("grad"))
        policy = mlp.policy(cfg.policy, (4,), space)
        assert jax.tree.map(jnp.shape, params) == core_spec.map_spec(lambda p: p.shape, policy.spec)
        given = {name: case[name][:, None] for name in ("action", "log_prob", "value", "advantage")}
        batch = ppo.Batch(
            Observation(case["view"][:, None]), first=jnp.zeros((24, 1), bool), memory=(), **given
        )

        loss = jax.value_and_grad(
            lambda params: ppo.loss_fn(params, (), batch, None, policy, cfg)[0]
        )
        our_loss, our_gradients = jax.jit(loss)(params)
        np.testing.assert_allclose(our_loss, case["loss"], rtol=1e-5)
        for (path, ours), theirs in zip(
            jax.tree.leaves_with_path(our_gradients), jax.tree.leaves(gradients), strict=True
        ):
            np.testing.assert_allclose(
                ours, theirs, rtol=1e-4, atol=5e-6, err_msg=jax.tree_util.keystr(path)
            )


STATES = {
    "environments/CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "environments/MountainCar-v0": ("position", "velocity"),
    "environments/Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "environments/Pendulum-v1": ("theta", "theta_dot"),
}


@pytest.mark.parametrize("name", STATES)
def test_dynamics_of_gymnasium(golden, name):
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
        np.testing.assert_allclose(view[alive], case["view"][alive], atol=2e-5)
        np.testing.assert_allclose(reward[alive], case["reward"][alive], rtol=1e-5, atol=1e-5)
