"""Prioritised replay: sequences drawn in proportion to priority^alpha.

    P(i) = p_i^alpha / sum_k p_k^alpha,    w_i = (M P(i))^-beta / max_i w_i

New rows get the largest priority so far. The importance weights w correct the bias of the sampling;
M is the number of starts. Source: Schaul et al. 2016, arXiv:1511.05952, equations 1 and 2.
"""

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.rl.replay import sum_tree, uniform
from panorax.rl.replay.uniform import Replay


@struct.dataclass
class Prioritized:
    """A replay and the weights of its starts."""

    replay: Replay
    """stored rows"""
    tree: jax.Array
    """sum tree of priority^alpha; the start (environment i, time t) has the index i T + t"""
    largest: jax.Array
    """largest priority^alpha so far, float32"""


def empty(row, capacity: int) -> Prioritized:
    """As `uniform.empty`."""
    replay = uniform.empty(row, capacity)
    return Prioritized(replay, sum_tree.zeros(replay.n * capacity), jnp.float32(1))


def add(prioritized: Prioritized, rollout, length: int = 1) -> Prioritized:
    """As `uniform.add`, for samples of `length` rows.

    The last length - 1 rows are no starts yet: the rows that follow them are not known.
    """
    before, after = prioritized.replay, uniform.add(prioritized.replay, rollout)
    L, T, N = jax.tree.leaves(rollout)[0].shape[0], before.capacity, before.n
    offset = jnp.arange(1 - length, L)
    is_start = (offset <= L - length) & (before.filled + offset >= 0)
    index = jnp.arange(N)[:, None] * T + ((before.head + offset) % T)[None]
    weight = jnp.broadcast_to(jnp.where(is_start, prioritized.largest, 0)[None], index.shape)
    tree = sum_tree.update(prioritized.tree, index.reshape(-1), weight.reshape(-1))
    return prioritized.replace(replay=after, tree=tree)


def draw(prioritized: Prioritized, key: jax.Array, batch: int, beta, length: int = 1):
    """(sequences, weights w_B, indices): leaves of sequences are (B, length, ...)."""
    replay, tree = prioritized.replay, prioritized.tree
    index_B = sum_tree.draw(tree, key, batch)
    starts = replay.n * (replay.filled - length + 1)
    p_B = sum_tree.weight(tree, index_B) / sum_tree.total(tree)
    weight_B = (starts * p_B) ** -beta
    env_B, time_B = index_B // replay.capacity, index_B % replay.capacity
    sequences = uniform.sequences_at(replay, env_B, time_B, length)
    return sequences, weight_B / jnp.max(weight_B), index_B


def reprioritize(
    prioritized: Prioritized, index_B: jax.Array, priority_B: jax.Array, alpha: float
) -> Prioritized:
    """`prioritized` with new priorities, such as |TD error| + epsilon, at sampled indices."""
    weight_B = priority_B**alpha
    return prioritized.replace(
        tree=sum_tree.update(prioritized.tree, index_B, weight_B),
        largest=jnp.maximum(prioritized.largest, jnp.max(weight_B)),
    )
