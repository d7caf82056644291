"""Targets and losses against rlax's formulas, written out in NumPy for one transition at a time.

rlax.q_learning: r + d max_a q(s', a) - q(s, a). rlax.double_q_learning: r + d q'(s', argmax_a q(s',
a)) - q(s, a). rlax.categorical_q_learning: cross entropy with the projection of r + d z onto the
atoms z. rlax's discount d is 0 at terminal states.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.environments.environment import Discrete, Observation
from panorax.rl.q_values.networks import Categorical, Mean, of_action, q_network
from panorax.rl.q_values.targets import q_error, q_target
from panorax.rl.replay.experience import Transition
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER, NUMBER

B, A, DISCOUNT = 24, 3, 0.9
ATOMS = np.linspace(-2.0, 2.0, 11)
RNG = np.random.default_rng(0)


def tabular(returns):
    """A network whose outputs are the view times the parameter; views are (..., A, K)."""
    network = q_network(mlp.Config((2,)), (1,), Discrete(A), False, returns)
    return dataclasses.replace(network, apply=lambda params, view: params * view)


def sequences(n, K):
    ends = RNG.integers(0, 4, (B, n))
    views = RNG.normal(size=(2, B, n, A, K)).astype(np.float32)
    return Transition(
        observation=Observation(jnp.asarray(views[0])),
        action=jnp.asarray(RNG.integers(0, A, (B, n)), jnp.int32),
        reward=jnp.asarray(RNG.normal(size=(B, n)), jnp.float32),
        terminated=jnp.asarray(ends == 0),
        truncated=jnp.asarray(ends == 1),
        next_observation=Observation(jnp.asarray(views[1])),
    )


def steps_of(sequence, b):
    """(discounted rewards, discount behind them, last step) of sequence b, by a loop."""
    total, discount = 0.0, 1.0
    for i in range(sequence.reward.shape[1]):
        total += discount * float(sequence.reward[b, i])
        discount *= DISCOUNT
        if sequence.terminated[b, i] or sequence.truncated[b, i]:
            break
    return total, 0.0 if sequence.terminated[b, i] else discount, i


def targets(network, sequence, double):
    """Targets of the parameters -1 and the target parameters 2."""
    return jax.jit(lambda s: q_target(network, -1.0, 2.0, s, DISCOUNT, double))(sequence)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def projection(p, atoms):
    """Algorithm 1 of the C51 paper, atom by atom."""
    width, m = ATOMS[1] - ATOMS[0], np.zeros(len(ATOMS))
    for probability, z in zip(p, atoms, strict=True):
        place = (np.clip(z, ATOMS[0], ATOMS[-1]) - ATOMS[0]) / width
        for k in range(len(ATOMS)):
            m[k] += probability * max(0.0, 1 - abs(place - k))
    return m


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("double", [False, True])
def test_targets_of_means(n, double):
    network, sequence = tabular(Mean()), sequences(n, 1)
    ours = targets(network, sequence, double)
    for b in range(B):
        total, discount, last = steps_of(sequence, b)
        view = np.asarray(sequence.next_observation.view)[b, last, :, 0]
        best = np.argmax(-view if double else 2 * view)
        np.testing.assert_allclose(ours[b], total + discount * 2 * view[best], **LAYER)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("double", [False, True])
def test_targets_of_distributions(n, double):
    network = tabular(Categorical(11, -2.0, 2.0))
    sequence = sequences(n, 11)
    ours = targets(network, sequence, double)
    for b in range(B):
        total, discount, last = steps_of(sequence, b)
        view = np.float64(sequence.next_observation.view[b, last])
        best = np.argmax(softmax((-1 if double else 2) * view) @ ATOMS)
        expected = projection(softmax(2 * view)[best], total + discount * ATOMS)
        np.testing.assert_allclose(ours[b], expected, **LAYER)


def test_losses_and_priorities_of_means():
    outputs, target = jnp.array([[1.0], [1.0], [1.0]]), jnp.array([1.5, -1.0, 4.0])
    network = tabular(Mean())
    loss, priority = q_error(network, outputs, target, None)
    np.testing.assert_allclose(loss, [0.125, 2.0, 4.5], **NUMBER)
    np.testing.assert_allclose(priority, [0.5, 2.0, 3.0], **NUMBER)
    slope = jax.vmap(jax.grad(lambda o, y: jnp.sum(q_error(network, o[None], y[None], 1.0)[0])))
    np.testing.assert_allclose(slope(outputs, target)[:, 0], [-0.5, 1.0, -1.0], **NUMBER)


def test_the_loss_of_a_distribution_is_the_cross_entropy():
    outputs = RNG.normal(size=(B, 11)).astype(np.float32)
    target = softmax(RNG.normal(size=(B, 11)))
    loss, priority = q_error(tabular(Categorical(11, -2.0, 2.0)), outputs, target, None)
    np.testing.assert_allclose(loss, -np.sum(target * np.log(softmax(outputs)), 1), **LAYER)
    np.testing.assert_array_equal(loss, priority)


def test_no_gradient_flows_through_a_target():
    network, sequence = tabular(Mean()), sequences(2, 1)

    def loss(params):
        y = q_target(network, params, params, sequence, 0.9, True)
        view = sequence.observation.view[:, 0]
        chosen = of_action(network.apply(params, view), sequence.action[:, 0])
        return jnp.sum(q_error(network, chosen, y, None)[0])

    y = q_target(network, 1.0, 1.0, sequence, 0.9, True)
    q = np.asarray(of_action(sequence.observation.view[:, 0], sequence.action[:, 0]))[:, 0]
    np.testing.assert_allclose(jax.grad(loss)(1.0), np.sum((q - y) * q), **LAYER)


def test_illegal_actions_are_never_the_best():
    network, sequence = tabular(Mean()), sequences(1, 1)
    view = sequence.next_observation.view
    legal = jnp.broadcast_to(jnp.arange(A)[None, None] == 1, (B, 1, A))
    masked = sequence.replace(next_observation=Observation(view, legal))
    ours = q_target(network, 1.0, 1.0, masked, DISCOUNT, False)
    future = jnp.where(sequence.terminated[:, 0], 0, view[:, 0, 1, 0])
    np.testing.assert_allclose(ours, sequence.reward[:, 0] + DISCOUNT * future, **LAYER)
