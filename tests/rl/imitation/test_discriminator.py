"""The discriminator: its loss and gradients by numpy, its best values on a table, its inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.rl import moments
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.imitation import discriminator
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER, MODEL, NUMBER

KEY = jax.random.key(0)


def table(params, pair_BI):
    """d as a number for each of the pairs, which are one-hot."""
    return pair_BI @ params


def test_the_best_discriminator_is_the_log_ratio_of_visits_and_gives_the_divergence():
    policy, expert = np.array([1, 3, 4]), np.array([5, 2, 1])
    rows = lambda counts: jnp.asarray(np.repeat(np.eye(3), counts, 0), jnp.float32)
    best = jnp.asarray(np.log(expert / policy), jnp.float32)

    def loss(d):
        shown = rows(expert), jnp.ones(8)
        return discriminator.loss_fn(d, (), rows(policy), KEY, *shown, table, 0.0)[0]

    value, gradient = jax.value_and_grad(loss)(best)
    p, q = policy / 8, expert / 8
    kl = lambda a, b: np.sum(a * np.log(a / b))
    divergence = (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2
    np.testing.assert_allclose(value, 2 * np.log(2) - 2 * divergence, **NUMBER)
    np.testing.assert_allclose(gradient, 0, **NUMBER)
    assert loss(best + 0.1 * np.float32([1, -1, 0])) > value
    D, rewards = q / (p + q), discriminator.REWARDS
    np.testing.assert_allclose(rewards["log_ratio"](best), np.log(q / p), **NUMBER)
    np.testing.assert_allclose(rewards["survival"](best), -np.log(1 - D), **NUMBER)
    np.testing.assert_allclose(rewards["penalty"](best), np.log(D), **NUMBER)
    np.testing.assert_allclose(rewards["constant"](best), 1, **NUMBER)


def numpy_loss(flat, policy, expert, weight, penalty):
    """The loss of d(x) = v tanh(W x + b) + c in float64, without and with the penalty."""
    W, b, v, c = flat[:12].reshape(3, 4), flat[12:16], flat[16:20], flat[20]
    h = lambda x: np.tanh(x @ W + b)
    D = lambda x: 1 / (1 + np.exp(-h(x) @ v - c))
    squared = lambda x: np.sum(((1 - h(x) ** 2) * v @ W.T) ** 2, 1)
    share = weight / weight.sum()
    plain = -np.log(1 - D(policy)).mean() - share @ np.log(D(expert))
    rough = squared(policy).mean() + share @ squared(expert)
    return plain, plain + penalty / 2 * rough


def test_the_loss_its_weights_its_penalty_and_its_gradient_by_numpy():
    rng = np.random.default_rng(0)
    spec, d = discriminator.network(mlp.Config((4,), activation="tanh"), (2,), Box((-1.0,), (1.0,)))
    flat, policy, expert = (rng.normal(size=shape) for shape in (21, (5, 3), (4, 3)))
    weight = np.array([1.0, 0, 1, 1])
    torso = {"w": flat[:12].reshape(3, 4), "b": flat[12:16]}
    params = {"torso": (torso,), "head": {"w": flat[16:20, None], "b": flat[20:]}}
    params, *rows = jax.tree.map(jnp.float32, (params, policy, expert, weight))
    assert jax.tree.map(jnp.shape, params) == core_spec.map_spec(lambda p: p.shape, spec)
    loss = lambda p: discriminator.loss_fn(p, (), rows[0], KEY, *rows[1:], d, 0.7)
    (value, (_, metrics)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    whole = lambda flat: numpy_loss(flat, policy, expert, weight, 0.7)
    np.testing.assert_allclose(metrics["discriminator_loss"], whole(flat)[0], **LAYER)
    np.testing.assert_allclose(value, whole(flat)[1], **LAYER)
    h = 1e-5
    slope = [(whole(flat + h * e)[1] - whole(flat - h * e)[1]) / (2 * h) for e in np.eye(21)]
    torso, head = gradient["torso"][0], gradient["head"]
    ours = np.concatenate([np.ravel(x) for x in (torso["w"], torso["b"], head["w"], head["b"])])
    np.testing.assert_allclose(ours, slope, **MODEL)
    right = [d(params, rows[0]) < 0, d(params, rows[1])[weight > 0] > 0]
    np.testing.assert_allclose(metrics["accuracy"], np.mean([x.mean() for x in right]), **NUMBER)


@pytest.mark.parametrize(
    "space, action, expected",
    [
        (Discrete(3), [2, 0], [[0, 0, 1], [1, 0, 0]]),
        (Box((-1.0, -2.0), (1.0, 2.0)), [[0.3, 3.0], [-1.5, 0.0]], [[0.3, 2.0], [-1.0, 0.0]]),
    ],
)
def test_pairs_are_standardised_views_beside_one_hot_or_executed_actions(space, action, expected):
    observed = moments.merge(moments.initial((2,)), jnp.array([[0.0, 1.0], [2.0, 5.0]]))
    view = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    pair = discriminator.pairs(view, jnp.array(action), observed, space)
    np.testing.assert_allclose(pair[:, :2], [[1, -1], [0, 0]], **NUMBER)
    np.testing.assert_allclose(pair[:, 2:], expected, **NUMBER)
