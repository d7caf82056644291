"""Cloning's loss by numpy, its weights, and its fit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.imitation import cloning
from panorax.rl.imitation.experts import Labels
from panorax.rl.policies import mlp
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
VIEW = jnp.asarray(RANDOM.normal(size=(12, 2)), jnp.float32)
POLICY = mlp.policy(mlp.Config((8,)), (2,), Discrete(3))


def test_the_loss_is_the_weighted_mean_of_negative_log_probabilities():
    params = core_spec.init(POLICY.spec, KEY)
    action, weight = RANDOM.integers(0, 3, 12), jnp.float32(jnp.arange(12) < 5)
    actor = jax.device_get(params["actor"])
    layer, head = actor["torso"][0], actor["head"]["out"]
    logits = np.tanh(np.asarray(VIEW) @ layer["w"] + layer["b"]) @ head["w"] + head["b"]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log_p[np.arange(5), action[:5]].mean()
    labels = Labels(VIEW, jnp.asarray(action, jnp.int32), weight)
    np.testing.assert_allclose(cloning.loss(params, POLICY, labels), expected, **LAYER)
    nothing = labels._replace(weight=0 * weight)
    assert cloning.loss(params, POLICY, nothing) == 0


def test_continuous_actions_have_densities():
    policy = mlp.policy(mlp.Config((8,)), (2,), Box((-1.0,), (1.0,)))
    params = core_spec.init(policy.spec, KEY)
    log_prob = cloning.log_prob(params, policy, VIEW, jnp.zeros((12, 1)))
    assert log_prob.shape == (12,) and (np.abs(log_prob + 0.919) < 0.1).all()


def test_a_fit_separates_the_labels():
    labels = Labels(VIEW, (VIEW[:, 0] > 0).astype(jnp.int32), jnp.ones(12))
    fit = lambda key: cloning.fit(POLICY, lambda key: labels, key, optax.adam(1e-2), 200)
    params = jax.jit(fit)(KEY)
    assert cloning.loss(params, POLICY, labels) < 0.05
