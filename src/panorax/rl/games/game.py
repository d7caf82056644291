"""A game of two players as pure functions, and the model that a search plans with.

All functions of `Game` act on one state; `vmap` makes them act on many.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from panorax.ops.distributions import masked
from panorax.rl.search import RecurrentFnOutput, RootFnOutput

Evaluate = Callable  # (params, key, state_B) -> (logits_BA, value_B) for the player to move


@dataclass(frozen=True)
class Game:
    """A deterministic game of perfect information. Player 0 moves first."""

    init: Callable[[], Any]
    """init() -> the initial state"""
    step: Callable[[Any, jax.Array], Any]
    """step(state, action) -> state; a terminal state stays as it is"""
    legal: Callable[[Any], jax.Array]
    """legal(state) -> mask of legal actions, bool (A,)"""
    observe: Callable[[Any], jax.Array]
    """observe(state) -> planes as the player to move sees them, float32 of `shape`"""
    player: Callable[[Any], jax.Array]
    """player(state) -> player to move, 0 or 1"""
    rewards: Callable[[Any], jax.Array]
    """rewards(state) -> reward of each player for the last move, float32 (2,)"""
    terminated: Callable[[Any], jax.Array]
    """terminated(state) -> true if the game is over"""
    shape: tuple[int, ...]
    """shape of an observation"""
    actions: int
    """number of actions [A]"""
    symmetries: tuple[Any, Any]
    """permutations of squares (G, Y * X) and of actions (G, A) under which the game is the same:
    entry i of the new observation is entry permutation[i] of the old one"""

    def start(self, n: int):
        """`n` copies of the initial state."""
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), self.init())


def moved(game: Game, state_B, action_B):
    """(next states, rewards of the movers, discounts of the next states' values).

    The discount is 0 if the game is over, -1 if the other player is to move, and 1 otherwise.
    """
    mover_B = jax.vmap(game.player)(state_B)
    after_B = jax.vmap(game.step)(state_B, action_B)
    reward_B = jnp.take_along_axis(jax.vmap(game.rewards)(after_B), mover_B[:, None], 1)[:, 0]
    sign_B = jnp.where(jax.vmap(game.player)(after_B) == mover_B, 1.0, -1.0)
    return after_B, reward_B, jnp.where(jax.vmap(game.terminated)(after_B), 0.0, sign_B)


def model(game: Game, evaluate: Evaluate):
    """The recurrent function of a search in `game`; illegal actions have prior 0."""

    def recurrent_fn(params, key, action_B, state_B):
        after_B, reward_B, discount_B = moved(game, state_B, action_B)
        logits_BA, value_B = evaluate(params, key, after_B)
        logits_BA = masked(logits_BA, jax.vmap(game.legal)(after_B))
        return RecurrentFnOutput(reward_B, discount_B, logits_BA, value_B), after_B

    return recurrent_fn


def root(game: Game, evaluate: Evaluate, params, key: jax.Array, state_B):
    """The root of a search from `state_B`, and the mask of its illegal actions."""
    logits_BA, value_B = evaluate(params, key, state_B)
    legal_BA = jax.vmap(game.legal)(state_B)
    return RootFnOutput(masked(logits_BA, legal_BA), value_B, state_B), ~legal_BA


def random_moves(game: Game, key: jax.Array, state_B) -> jax.Array:
    """Uniformly random legal actions, int32 (B,)."""
    legal_BA = jax.vmap(game.legal)(state_B)
    score_BA = jnp.where(legal_BA, jax.random.uniform(key, legal_BA.shape), -1.0)
    return jnp.argmax(score_BA, -1).astype(jnp.int32)


def playouts(game: Game) -> Evaluate:
    """Evaluates states by one game of random moves each; the prior is uniform."""

    def evaluate(params, key, state_B):
        start_B = jax.vmap(game.player)(state_B)

        def unfinished(carry):
            return ~jnp.all(jax.vmap(game.terminated)(carry[1]))

        def move(carry):
            key, state_B, total_B2 = carry
            key, key_move = jax.random.split(key)
            state_B = jax.vmap(game.step)(state_B, random_moves(game, key_move, state_B))
            return key, state_B, total_B2 + jax.vmap(game.rewards)(state_B)

        begin = (key, state_B, jnp.zeros((len(start_B), 2)))
        _, _, total_B2 = jax.lax.while_loop(unfinished, move, begin)
        value_B = jnp.take_along_axis(total_B2, start_B[:, None], 1)[:, 0]
        return jnp.zeros((len(start_B), game.actions)), value_B

    return evaluate
