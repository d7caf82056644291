"""Minimax with alpha-beta pruning and iterative deepening, for a batch of states at once.

The search is depth-first with an explicit stack per state. All states advance together, one move
each per iteration, until each has used its nodes. A state at the depth limit counts 0.

Source: Knuth & Moore 1975; Korf 1985 (iterative deepening).
"""

from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.rl.games.game import Game, moved
from panorax.rl.games.play import Player

LOW = -2.0  # below every value of a game


@struct.dataclass
class Stack:
    """The path of each depth-first search; rows (B, D) are levels of the path."""

    states: Any
    """states, a pytree of (B, D, ...)"""
    alpha: jax.Array
    """value that the player to move has secured at least, (B, D)"""
    beta: jax.Array
    """value from which on the opponent avoids the state, (B, D)"""
    best: jax.Array
    """largest value of the actions tried, (B, D)"""
    next: jax.Array
    """position in the move order of the next action, int32 (B, D)"""
    reward: jax.Array
    """reward of the move that led to the level, (B, D)"""
    level: jax.Array
    """current level, int32 (B,)"""
    limit: jax.Array
    """depth limit of the current iteration, int32 (B,)"""
    nodes: jax.Array
    """states generated, int32 (B,)"""
    cut: jax.Array
    """true if the current iteration reached its depth limit, (B,)"""
    trying: jax.Array
    """best first action of the current iteration, int32 (B,)"""
    action: jax.Array
    """best first action of the last complete iteration, int32 (B,)"""
    value: jax.Array
    """value of `action`, (B,)"""
    done: jax.Array
    """true if the budget is used, or the last iteration reached the end of the game, (B,)"""


def alpha_beta(game: Game, state_B, nodes: int, most_depth: int) -> Stack:
    """Searches from running states until `nodes` states are generated or the value is exact.

    most_depth: largest depth limit.  Actions are tried from the middle of their range outwards.
    """
    order = sorted(range(game.actions), key=lambda a: abs(2 * a - game.actions + 1))
    order_A, A, B = jnp.array(order), game.actions, len(jax.tree.leaves(state_B)[0])
    rows_B = jnp.arange(B)
    level = lambda fill, dtype=jnp.float32: jnp.full((B, most_depth + 1), fill, dtype)
    whole = lambda fill, dtype=jnp.int32: jnp.full(B, fill, dtype)
    start = Stack(
        states=jax.tree.map(
            lambda x: jnp.zeros((B, most_depth + 1, *x.shape[1:]), x.dtype).at[:, 0].set(x),
            state_B,
        ),
        alpha=level(LOW),
        beta=level(-LOW),
        best=level(LOW),
        next=level(0, jnp.int32),
        reward=level(0.0),
        level=whole(0),
        limit=whole(1),
        nodes=whole(0),
        cut=whole(False, bool),
        trying=whole(0),
        action=whole(0),
        value=whole(0, jnp.float32),
        done=whole(False, bool),
    )

    def advance(s: Stack) -> Stack:
        """Tries the next action of the current state, or returns its value to the level above."""
        at = lambda x: x[rows_B, s.level]
        here_B = jax.tree.map(at, s.states)
        position_BA = jnp.arange(A)[None]
        legal_BA = jax.vmap(game.legal)(here_B)[:, order_A]
        remaining_BA = legal_BA & (position_BA >= at(s.next)[:, None])
        position_B = jnp.argmax(remaining_BA, -1)
        finished_B = ~jnp.any(remaining_BA, -1) | (at(s.alpha) >= at(s.beta))
        action_B = order_A[position_B]
        after_B, reward_B, discount_B = moved(game, here_B, action_B)
        at_limit_B = (s.level + 1 >= s.limit) & (discount_B != 0)
        is_leaf_B = (discount_B == 0) | at_limit_B

        # an action of value `reported` is known at level `target`: a leaf, or a finished level
        target_B = jnp.where(finished_B, jnp.maximum(s.level - 1, 0), s.level)
        reported_B = jnp.where(finished_B, at(s.reward) - at(s.best), reward_B)
        is_reported_B = (finished_B & (s.level > 0)) | (~finished_B & is_leaf_B)
        of_target = lambda x: x[rows_B, target_B]
        better_B = is_reported_B & (reported_B > of_target(s.best))
        best_B = jnp.where(better_B, reported_B, of_target(s.best))
        alpha_B = jnp.where(
            is_reported_B, jnp.maximum(of_target(s.alpha), best_B), of_target(s.alpha)
        )
        below_B = s.next[:, 0] - 1
        tried_B = jnp.where(finished_B, order_A[below_B], action_B)
        trying_B = jnp.where(better_B & (target_B == 0), tried_B, s.trying)

        pushed_B = ~finished_B & ~is_leaf_B
        new_B = jnp.where(pushed_B, s.level + 1, most_depth + 1)  # out of range: dropped
        push = lambda x, value: x.at[rows_B, new_B].set(value, mode="drop")
        put = lambda x, value: x.at[rows_B, target_B].set(value)
        following_B = jnp.where(finished_B, of_target(s.next), position_B + 1)
        ended_B = finished_B & (s.level == 0) & ~s.done
        nodes_B = s.nodes + (~finished_B & ~s.done)
        moved_on = s.replace(
            states=jax.tree.map(push, s.states, after_B),
            alpha=push(put(s.alpha, alpha_B), -at(s.beta)),
            beta=push(s.beta, -alpha_B),
            best=push(put(s.best, best_B), LOW),
            next=push(put(s.next, following_B), 0),
            reward=push(s.reward, reward_B),
            level=jnp.where(pushed_B, s.level + 1, target_B),
            nodes=nodes_B,
            cut=s.cut | (~finished_B & at_limit_B),
            trying=trying_B,
        )
        return deeper(moved_on, ended_B)

    def deeper(s: Stack, ended_B) -> Stack:
        """Keeps the result of states whose iteration ended, and starts a deeper iteration."""
        restart = lambda x, value: x.at[:, 0].set(jnp.where(ended_B, value, x[:, 0]))
        exact_B = ended_B & (~s.cut | (s.limit >= most_depth))
        return s.replace(
            action=jnp.where(ended_B, s.trying, s.action),
            value=jnp.where(ended_B, s.best[:, 0], s.value),
            done=s.done | exact_B | (s.nodes >= nodes),
            limit=s.limit + ended_B,
            cut=s.cut & ~ended_B,
            alpha=restart(s.alpha, LOW),
            best=restart(s.best, LOW),
            next=restart(s.next, 0),
        )

    return jax.lax.while_loop(lambda s: ~jnp.all(s.done), advance, start)


def alpha_beta_player(game: Game, nodes: int, most_depth: int) -> Player:
    """Moves by `alpha_beta` with `nodes` generated states per move."""
    return lambda key, state_B: alpha_beta(game, state_B, nodes, most_depth).action
