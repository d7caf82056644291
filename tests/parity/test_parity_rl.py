"""Distributions and policy gradients against torch, GAE against stable-baselines3, dynamics of
gymnax against gymnasium.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.maths.optimisation.curvature import gauss_newton_product
from panorax.ops.distributions import Categorical, DiagonalGaussian, MultiCategorical, masked
from panorax.ops.returns import gae
from panorax.rl import a2c, on_policy, ppo, reinforce, trpo
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


NETS = mlp.Config(hidden=(8, 8))


def policy_of(case):
    """The policy of a case, a normal distribution if it has deviations, and its parameters."""
    params = policy_params(case.group("param"))
    gaussian = "log_std" in params["actor"]["head"]
    space = Box((-1.0,) * 2, (1.0,) * 2) if gaussian else Discrete(3)
    return mlp.policy(NETS, (4,), space), params


def examples_of(case, *names: str) -> on_policy.Batch:
    """The steps of a case as examples of one step; arrays that it does not have are 0."""
    action = case["action"][:, None]
    zeros = jnp.zeros((len(action), 1))
    arrays = dict.fromkeys(("log_prob", "value", "advantage"), zeros)
    arrays |= {name: case[name][:, None] for name in names}
    observation = Observation(case["view"][:, None])
    return on_policy.Batch(
        observation=observation, first=zeros > 0, memory=(), action=action, **arrays
    )


@pytest.mark.parametrize("name", ["policy_gradient/a2c_discrete", "policy_gradient/a2c_gaussian"])
def test_a2c_loss_and_gradients(golden, name):
    with golden(name) as case:
        cfg, (policy, params) = a2c.Config(**case.settings()), policy_of(case)
        batch = examples_of(case, "value", "advantage")
        loss_fn = lambda params: a2c.loss_fn(params, (), batch, None, policy, cfg)[0]
        loss, gradients = jax.jit(jax.value_and_grad(loss_fn))(params)
        np.testing.assert_allclose(loss, case["loss"], **LAYER)
        chex.assert_trees_all_close(gradients, policy_params(case.group("grad")), **MODEL)


@pytest.mark.parametrize("name", ["policy_gradient/trpo_discrete", "policy_gradient/trpo_gaussian"])
def test_trpo_surrogate_kl_and_fisher_product(golden, name):
    with golden(name) as case:
        policy, params = policy_of(case)
        old, v, gradients, product = (
            policy_params(case.group(name)) for name in ("old", "v", "grad", "product")
        )
        batch = examples_of(case, "log_prob", "advantage")

        @jax.jit
        def measured(actor):
            pi = lambda actor: on_policy.apply(params | {"actor": actor}, batch, policy)[0]
            loss_fn = lambda actor: trpo.loss_fn(actor, (), batch, None, params["critic"], policy)[
                0
            ]
            loss, gradient = jax.value_and_grad(loss_fn)(actor)
            kl = functools.partial(trpo.mean_kl, pi(actor))
            along = gauss_newton_product(pi, kl, actor, v["actor"])
            return (loss, trpo.mean_kl(pi(old["actor"]), pi(actor))), (gradient, along)

        scalars, trees = measured(params["actor"])
        np.testing.assert_allclose(scalars, (case["loss"], case["kl"]), **LAYER)
        chex.assert_trees_all_close(trees, (gradients["actor"], product["actor"]), **MODEL)


@pytest.mark.parametrize(
    "name", ["policy_gradient/reinforce_discrete", "policy_gradient/reinforce_gaussian"]
)
def test_reinforce_losses_and_gradients(golden, name):
    with golden(name) as case:
        cfg, (policy, params) = reinforce.Config(**case.settings()), policy_of(case)
        time = jnp.arange(case["reward"].shape[1])[None]
        batch = reinforce.Batch(
            observation=Observation(case["view"]),
            first=time + 0 * case["end"][:, None] == 0,
            memory=(),
            action=case["action"],
            reward=case["reward"],
            ended=time == case["end"][:, None],
            inside=time <= case["end"][:, None],
        )
        terms = jax.jit(lambda params: reinforce.losses(params, batch, policy, cfg))(params)
        np.testing.assert_allclose(terms["value"], case["value_loss"], **LAYER)
        policy_loss = lambda params: reinforce.losses(params, batch, policy, cfg)["policy"]
        gradients = jax.jit(jax.jacrev(policy_loss))(params)
        for baseline in reinforce.BASELINES:
            np.testing.assert_allclose(terms["policy"][baseline], case[f"loss/{baseline}"], **LAYER)
            theirs = policy_params(case.group(f"grad/{baseline}"))
            chex.assert_trees_all_close(gradients[baseline], theirs, **MODEL)


@pytest.mark.parametrize("name", ["ppo/discrete", "ppo/gaussian"])
def test_ppo_loss_and_gradients(golden, name):
    with golden(name) as case:
        cfg, (policy, params) = ppo.Config(**case.settings()), policy_of(case)
        chex.assert_trees_all_equal_shapes(params, core_spec.abstract(policy.spec))
        batch = examples_of(case, "log_prob", "value", "advantage")
        loss_fn = lambda params: ppo.loss_fn(params, (), batch, None, policy, cfg)[0]
        loss, gradients = jax.jit(jax.value_and_grad(loss_fn))(params)
        np.testing.assert_allclose(loss, case["loss"], **LAYER)
        chex.assert_trees_all_close(gradients, policy_params(case.group("grad")), **MODEL)


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
