"""Monotonic transformations of Q-values, which make them comparable with priors."""

import jax.numpy as jnp

from panorax.rl.search.tree import Node


def by_min_max(node: Node, min_value: float, max_value: float):
    """(Q - min) / (max - min); an unvisited action has Q = `min_value`."""
    q_BA = jnp.where(node.child_visits > 0, node.qvalues, min_value)
    return (q_BA - min_value) / (max_value - min_value)


def by_parent_and_siblings(node: Node, epsilon: float = 1e-8):
    """(Q - min) / (max - min) with the extremes of the node's value and its visited actions.

    An unvisited action has the smallest Q.  epsilon: smallest denominator.
    """
    visited_BA, value_B1 = node.child_visits > 0, node.value[..., None]
    q_BA = jnp.where(visited_BA, node.qvalues, value_B1)
    low_B1 = jnp.minimum(value_B1, jnp.min(q_BA, -1, keepdims=True))
    high_B1 = jnp.maximum(value_B1, jnp.max(q_BA, -1, keepdims=True))
    q_BA = jnp.where(visited_BA, node.qvalues, low_B1)
    return (q_BA - low_B1) / jnp.maximum(high_B1 - low_B1, epsilon)


def completed_by_mix_value(
    node: Node,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 1e-8,
):
    """(maxvisit_init + largest visit count) * value_scale * Q.

    An unvisited action has the mixed value as its Q, or the raw value without `use_mixed_value`.
    rescale_values: scales Q to [0, 1] first, with at least `epsilon` as the denominator.
    Source: Danihelka et al. 2022, equation 8 and appendix D.
    """
    value_B = mixed_value(node) if use_mixed_value else node.raw_value
    q_BA = jnp.where(node.child_visits > 0, node.qvalues, value_B[..., None])
    if rescale_values:
        low_B1, high_B1 = (f(q_BA, -1, keepdims=True) for f in (jnp.min, jnp.max))
        q_BA = (q_BA - low_B1) / jnp.maximum(high_B1 - low_B1, epsilon)
    most_B1 = jnp.max(node.child_visits, -1, keepdims=True)
    return (maxvisit_init + most_B1) * value_scale * q_BA


def mixed_value(node: Node):
    """(raw value + n * mean Q of visited actions under the prior) / (1 + n) after n visits."""
    visited_BA = node.child_visits > 0
    tiny = jnp.finfo(node.priors.dtype).tiny  # an action of prior 0 may be visited
    weight_BA = jnp.where(visited_BA, jnp.maximum(node.priors, tiny), 0)
    total_B1 = jnp.sum(weight_BA, -1, keepdims=True)
    weight_BA = weight_BA / jnp.where(total_B1 > 0, total_B1, 1)
    n_B = jnp.sum(node.child_visits, -1)
    return (node.raw_value + n_B * jnp.sum(weight_BA * node.qvalues, -1)) / (n_B + 1)
