"""The inputs and outputs of a search, and its tree. B is the batch, N the nodes, A the actions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct

UNVISITED = -1  # child of an action that was never taken, and parent of the root
RecurrentFn = Callable  # (params, key, action_B, embedding_B) -> (RecurrentFnOutput, embedding_B)


@struct.dataclass
class RootFnOutput:
    """What is known of the root states before the search."""

    prior_logits: jax.Array
    """logits of the policy, (B, A)"""
    value: jax.Array
    """estimated value, (B,)"""
    embedding: Any
    """states that `recurrent_fn` continues from, a pytree of (B, ...)"""


@struct.dataclass
class RecurrentFnOutput:
    """The result of one action in each state."""

    reward: jax.Array
    """reward of the action, (B,)"""
    discount: jax.Array
    """factor of the next state's value: 0 if terminal, negative if the other player moves, (B,)"""
    prior_logits: jax.Array
    """logits of the policy in the next state, (B, A)"""
    value: jax.Array
    """estimated value of the next state, (B,)"""


@struct.dataclass
class Node:
    """The statistics of one node of each tree, from which an action is selected."""

    visits: jax.Array
    """simulations through the node, plus one, int32 (B,)"""
    value: jax.Array
    """mean of the returns backed up to the node and its estimated value, (B,)"""
    raw_value: jax.Array
    """estimated value, (B,)"""
    prior_logits: jax.Array
    """logits of the policy, (B, A)"""
    priors: jax.Array
    """softmax of `prior_logits`, (B, A)"""
    child_visits: jax.Array
    """visits of each action, int32 (B, A)"""
    qvalues: jax.Array
    """reward + discount * value of each action's child, 0 if unvisited, (B, A)"""


@struct.dataclass
class Summary:
    """Statistics of the roots."""

    visit_counts: jax.Array
    """visits of each action, int32 (B, A)"""
    visit_probs: jax.Array
    """share of visits of each action, uniform without visits, (B, A)"""
    value: jax.Array
    """value of the root after the search, (B,)"""
    qvalues: jax.Array
    """Q-value of each action, 0 if unvisited, (B, A)"""


@struct.dataclass
class Tree:
    """Search trees. Node 0 is the root; node i was expanded by simulation i."""

    visits: jax.Array
    """simulations through the node, plus one; 0 if unused, int32 (B, N)"""
    values: jax.Array
    """mean of the returns backed up to the node and its estimated value, (B, N)"""
    raw_values: jax.Array
    """estimated value, (B, N)"""
    rewards: jax.Array
    """reward of the action that leads to the node, (B, N)"""
    discounts: jax.Array
    """factor of the node's value in its parent's return, (B, N)"""
    qvalues: jax.Array
    """reward + discount * value of the node, (B, N)"""
    parents: jax.Array
    """index of the parent, UNVISITED at the root, int32 (B, N)"""
    actions: jax.Array
    """action that leads from the parent to the node, int32 (B, N)"""
    children: jax.Array
    """index of each action's child, UNVISITED if there is none, int32 (B, N, A)"""
    prior_logits: jax.Array
    """logits of the policy, (B, N, A)"""
    priors: jax.Array
    """softmax of `prior_logits`, (B, N, A)"""
    embeddings: Any
    """states, a pytree of (B, N, ...)"""

    def at(self, node_B: jax.Array) -> Node:
        """The statistics of a node of each tree."""
        rows_B = jnp.arange(len(node_B))
        child_BA = self.children[rows_B, node_B]
        visited_BA = child_BA != UNVISITED
        of_children = lambda x_BN: jnp.where(visited_BA, x_BN[rows_B[:, None], child_BA], 0)
        return Node(
            visits=self.visits[rows_B, node_B],
            value=self.values[rows_B, node_B],
            raw_value=self.raw_values[rows_B, node_B],
            prior_logits=self.prior_logits[rows_B, node_B],
            priors=self.priors[rows_B, node_B],
            child_visits=of_children(self.visits),
            qvalues=of_children(self.qvalues),
        )

    def root(self) -> Node:
        """The statistics of the roots."""
        return self.at(jnp.zeros(len(self.visits), jnp.int32))

    def summary(self) -> Summary:
        """Visits and values of the roots."""
        root = self.root()
        total_B1 = jnp.sum(root.child_visits, -1, keepdims=True)
        share_BA = root.child_visits / jnp.maximum(total_B1, 1)
        share_BA = jnp.where(total_B1 > 0, share_BA, 1 / share_BA.shape[-1])
        return Summary(root.child_visits, share_BA, root.value, root.qvalues)


@struct.dataclass
class PolicyOutput:
    """The result of a search."""

    action: jax.Array
    """chosen action, int32 (B,)"""
    action_weights: jax.Array
    """target of the policy, which sums to 1, (B, A)"""
    tree: Tree
    """the search trees"""


def first_tree(root: RootFnOutput, nodes: int) -> Tree:
    """Trees with room for `nodes` nodes that contain their roots only."""
    B, A = root.prior_logits.shape
    empty = lambda fill, dtype, *shape: jnp.full((B, nodes, *shape), fill, dtype)
    with_root = lambda x: jnp.zeros((B, nodes, *x.shape[1:]), x.dtype).at[:, 0].set(x)
    return Tree(
        visits=with_root(jnp.ones(B, jnp.int32)),
        values=with_root(root.value),
        raw_values=with_root(root.value),
        rewards=empty(0, root.value.dtype),
        discounts=empty(0, root.value.dtype),
        qvalues=empty(0, root.value.dtype),
        parents=empty(UNVISITED, jnp.int32),
        actions=empty(0, jnp.int32),
        children=empty(UNVISITED, jnp.int32, A),
        prior_logits=with_root(root.prior_logits),
        priors=with_root(jax.nn.softmax(root.prior_logits)),
        embeddings=jax.tree.map(with_root, root.embedding),
    )
