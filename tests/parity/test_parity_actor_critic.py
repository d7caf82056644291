"""Losses of SAC and TD3 and their gradients against torch."""

import chex
import jax
import numpy as np
import pytest

from panorax.rl import actor_critic, sac, td3
from panorax.rl.environments.environment import Observation
from panorax.rl.replay.experience import Transition
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER, MODEL

WIDTHS = mlp.Config((8, 8))


def net_params(theirs: dict, net: str) -> dict:
    """Parameters of an actor or a critic from torch's, whose matrices are (out, in)."""
    dense = lambda i: {"w": theirs[f"{net}.{i}.weight"].T, "b": theirs[f"{net}.{i}.bias"]}
    return {"torso": (dense(0), dense(2)), "head": dense(4)}


def critics_params(theirs: dict, target: str = "") -> tuple:
    return tuple(net_params(theirs, net + target) for net in ("q1", "q2"))


def check(case, loss_fn, params, gradients, monkeypatch, **options):
    """Compares loss and gradients in `params`, with the noise of the case as every sample."""

    noise = case["noise"]

    def normal(key, shape):
        assert shape == noise.shape
        return noise

    monkeypatch.setattr(jax.random, "normal", normal)
    batch = Transition(
        observation=Observation(case["view"]),
        action=case["action"],
        reward=case["reward"],
        terminated=case["terminated"],
        truncated=np.zeros_like(case["terminated"]),
        next_observation=Observation(case["next_view"]),
    )
    loss = lambda params: loss_fn(params, (), batch, jax.random.key(0), **options)[0]
    ours, our_gradients = jax.value_and_grad(loss)(params)
    np.testing.assert_allclose(ours, case["loss"], **LAYER)
    chex.assert_trees_all_close(our_gradients, gradients, **MODEL)


@pytest.mark.parametrize("name", ["actor_critic/sac_critics", "actor_critic/sac_policy"])
def test_sac(golden, name, monkeypatch):
    with golden(name) as case:
        numbers, theirs, gradients = case.settings(), case.group("param"), case.group("grad")
        policy = {
            "actor": net_params(theirs, "actor"),
            "log_temperature": np.float32(numbers["log_temperature"]),
        }
        cfg = sac.Config(actor=WIDTHS, critic=WIDTHS, discount=numbers.get("discount", 0.5))
        nets = actor_critic.networks(cfg, (3,), 2, 4)
        if name.endswith("critics"):
            options = {"target": critics_params(theirs, "_target"), "policy": policy, "cfg": cfg}
            loss_fn, params = sac.critic_loss_fn, critics_params(theirs)
            expected = critics_params(gradients)
        else:
            options = {
                "critics": critics_params(theirs),
                "target_entropy": numbers["target_entropy"],
            }
            loss_fn, params = sac.loss_fn, policy
            expected = {
                "actor": net_params(gradients, "actor"),
                "log_temperature": gradients["log_temperature"],
            }
        check(case, loss_fn, params, expected, monkeypatch, nets=nets, **options)


@pytest.mark.parametrize("name", ["actor_critic/td3_critics", "actor_critic/td3_actor"])
def test_td3(golden, name, monkeypatch):
    with golden(name) as case:
        theirs, gradients = case.group("param"), case.group("grad")
        cfg = td3.Config(actor=WIDTHS, critic=WIDTHS, **case.settings())
        nets = actor_critic.networks(cfg, (3,), 2, 2)
        if name.endswith("critics"):
            target = {
                "critics": critics_params(theirs, "_target"),
                "policy": net_params(theirs, "td3_actor_target"),
            }
            options = {"target": target, "cfg": cfg}
            loss_fn, params = td3.critic_loss_fn, critics_params(theirs)
            expected = critics_params(gradients)
        else:
            options, loss_fn = {"critics": critics_params(theirs)}, td3.loss_fn
            params = net_params(theirs, "td3_actor")
            expected = net_params(gradients, "td3_actor")
        check(case, loss_fn, params, expected, monkeypatch, nets=nets, **options)
