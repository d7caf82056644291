"""The four phases of a simulation: selection, expansion, evaluation and backup (Coulom 2006).

All trees of a batch take part in every phase. Selection and backup are loops over the depth, as
long as any tree still moves. Their steps gather and scatter one row per tree, so that XLA updates
the arrays of the tree in place and a simulation costs the same in a small and in a large tree.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from panorax.rl.search.tree import UNVISITED, RecurrentFn, RootFnOutput, Tree, first_tree

Select = Callable  # (node: Node, tie_break_BA) -> action_B; tie_break is uniform on [0, 1)


class Leaf(NamedTuple):
    """Where the selection ended in each tree."""

    node: jax.Array
    """last node of the path, (B,)"""
    action: jax.Array
    """action selected there, (B,)"""
    child: jax.Array
    """child of that action: UNVISITED, unless the path was cut at the largest depth, (B,)"""


def search(
    params,
    key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: RecurrentFn,
    select_root: Select,
    select: Select,
    num_simulations: int,
    max_depth: int | None = None,
) -> Tree:
    """The trees after `num_simulations` simulations from the root states.

    select_root, select: choose an action from the statistics of the roots, and of other nodes.
    max_depth: largest number of actions from the root to a leaf; None: no bound.

    Raises ValueError if there is no simulation or no depth.
    """
    if num_simulations < 1 or (max_depth is not None and max_depth < 1):
        raise ValueError(
            "num_simulations and max_depth must be at least 1, "
            f"got {num_simulations} and {max_depth}"
        )
    depth = num_simulations if max_depth is None else max_depth

    def simulation(i, tree):
        key_tie, key_expand = jax.random.split(jax.random.fold_in(key, i))
        tie_break_BA = jax.random.uniform(key_tie, root.prior_logits.shape)
        leaf = select_leaf(tree, select_root, select, tie_break_BA, depth)
        child_B = jnp.where(leaf.child == UNVISITED, i + 1, leaf.child)
        tree = expanded(params, key_expand, tree, recurrent_fn, leaf, child_B)
        return backup(tree, child_B)

    return jax.lax.fori_loop(0, num_simulations, simulation, first_tree(root, num_simulations + 1))


def select_leaf(tree: Tree, select_root: Select, select: Select, tie_break_BA, depth: int) -> Leaf:
    """Follows the selected actions from the roots to an unvisited action or to `depth` actions."""
    rows_B = jnp.arange(len(tree.visits))

    def choose(select, node_B):
        action_B = select(tree.at(node_B), tie_break_BA)
        return Leaf(node_B, action_B, tree.children[rows_B, node_B, action_B])

    def is_inside(carry):
        leaf, level = carry
        return jnp.any(leaf.child != UNVISITED) & (level < depth)

    def deeper(carry):
        leaf, level = carry
        arrived_B = leaf.child == UNVISITED
        chosen = choose(select, jnp.where(arrived_B, leaf.node, leaf.child))
        return jax.tree.map(
            lambda old, new: jnp.where(arrived_B, old, new), leaf, chosen
        ), level + 1

    leaf = choose(select_root, jnp.zeros_like(rows_B))
    return jax.lax.while_loop(is_inside, deeper, (leaf, jnp.int32(1)))[0]


def expanded(params, key, tree: Tree, recurrent_fn: RecurrentFn, leaf: Leaf, child_B) -> Tree:
    """Evaluates the child of each leaf and stores it as node `child_B`.

    A child at the largest depth may exist already; it is evaluated again.
    """
    rows_B = jnp.arange(len(child_B))
    embedding = jax.tree.map(lambda x: x[rows_B, leaf.node], tree.embeddings)
    step, embedding = recurrent_fn(params, key, leaf.action, embedding)
    put = lambda array, x: array.at[rows_B, child_B].set(x)
    return Tree(
        visits=tree.visits.at[rows_B, child_B].add(1),
        values=put(tree.values, step.value),
        raw_values=put(tree.raw_values, step.value),
        rewards=put(tree.rewards, step.reward),
        discounts=put(tree.discounts, step.discount),
        qvalues=put(tree.qvalues, step.reward + step.discount * step.value),
        parents=put(tree.parents, leaf.node),
        actions=put(tree.actions, leaf.action),
        children=tree.children.at[rows_B, leaf.node, leaf.action].set(child_B),
        prior_logits=put(tree.prior_logits, step.prior_logits),
        priors=put(tree.priors, jax.nn.softmax(step.prior_logits)),
        embeddings=jax.tree.map(put, tree.embeddings, embedding),
    )


class Climb(NamedTuple):
    """A backup in progress: the position in each tree, and the arrays that it updates."""

    node: jax.Array
    """last node whose parent was updated, the root at the end, (B,)"""
    returns: jax.Array
    """return G from that node, (B,)"""
    visits: jax.Array
    """visits of the tree, (B, N)"""
    values: jax.Array
    """values of the tree, (B, N)"""
    qvalues: jax.Array
    """Q-values of the tree, (B, N)"""


def backup(tree: Tree, node_B) -> Tree:
    """Adds the returns G of the new nodes to the means of all nodes on their paths.

    From the leaf up to the root, G <- reward + discount * G, and the parent's value becomes
    (value * visits + G) / (visits + 1).
    """
    rows_B, nodes = jnp.arange(len(node_B)), tree.visits.shape[1]
    at = lambda x_BN, index_B: x_BN[rows_B, index_B]

    def up(climb: Climb) -> Climb:
        inside_B = climb.node > 0
        return_B = at(tree.rewards, climb.node) + at(tree.discounts, climb.node) * climb.returns
        parent_B = jnp.where(inside_B, at(tree.parents, climb.node), 0)
        n_B = at(climb.visits, parent_B)
        value_B = (at(climb.values, parent_B) * n_B + return_B) / (n_B + 1)
        q_B = at(tree.rewards, parent_B) + at(tree.discounts, parent_B) * value_B
        written_B = jnp.where(inside_B, parent_B, nodes)  # out of range: dropped
        put = lambda array, x: array.at[rows_B, written_B].set(x, mode="drop")
        return Climb(
            node=parent_B,
            returns=return_B,
            visits=put(climb.visits, n_B + 1),
            values=put(climb.values, value_B),
            qvalues=put(climb.qvalues, q_B),
        )

    start = Climb(node_B, at(tree.values, node_B), tree.visits, tree.values, tree.qvalues)
    end = jax.lax.while_loop(lambda climb: jnp.any(climb.node > 0), up, start)
    return tree.replace(visits=end.visits, values=end.values, qvalues=end.qvalues)
