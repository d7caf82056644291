"""Behaviour cloning: the policy that makes an expert's actions most likely (Pomerleau 1989).

loss = -E[log pi(a|s)],    (s, a) of the expert
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core.step import descend
from panorax.rl.environments.environment import Observation
from panorax.rl.imitation.experts import Labels
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Act


def log_prob(params, policy: Policy, view: jax.Array, action: jax.Array) -> jax.Array:
    """log pi(a|s) of each row, (M,), for a policy without memory."""
    first = jnp.zeros((len(action), 1), bool)
    _, pi, _ = policy.apply(params, (), Observation(view[:, None]), first)
    return pi.log_prob(action[:, None])[:, 0]


def loss(params, policy: Policy, labels: Labels) -> jax.Array:
    """-E[log pi(a|s)] over the labels with their weights, in nats."""
    total = jnp.sum(labels.weight * log_prob(params, policy, labels.view, labels.action))
    return -total / jnp.maximum(jnp.sum(labels.weight), 1)


def fit(
    policy: Policy,
    labels: Callable[[jax.Array], Labels],
    key: jax.Array,
    tx: optax.GradientTransformation,
    steps: int,
):
    """Parameters after `steps` updates by `tx`, from new ones. labels(key): those of an update."""
    key_init, key_steps = jax.random.split(key)
    params = core_spec.init(policy.spec, key_init)
    objective = lambda params, key: loss(params, policy, labels(key))
    return descend(objective, tx, params, jax.random.split(key_steps, steps))[0]


def mode(params, policy: Policy) -> Act:
    """The most likely action of a policy without memory, as an `Act` function."""

    def act(memory, observation, first, key):
        views = jax.tree.map(lambda x: x[:, None], observation)
        _, pi, _ = policy.apply(params, (), views, first[:, None])
        return memory, pi.mode()[:, 0]

    return act
