"""Games of pgx (Koyamada et al. 2023) for one player against uniformly random legal moves."""

import jax
import jax.numpy as jnp

from panorax.core.errors import UserError
from panorax.core.names import nearest
from panorax.core.ranges import Count, checked
from panorax.ops.distributions import Categorical, masked
from panorax.rl.environments import pictures
from panorax.rl.environments.environment import (
    Discrete,
    Environment,
    Environments,
    Observation,
    Step,
    without_extra,
)
from panorax.rl.environments.wrappers import time_limit, vectorize


@checked
class Config:
    """A game of pgx."""

    name: str = "tic_tac_toe"
    """name in `pgx.available_envs()`"""
    max_steps: Count = 500
    """the player's own moves after which an episode is truncated"""


def ids() -> tuple[str, ...]:
    """The names of all games."""
    return tuple(_pgx().available_envs())


def environments(cfg: Config, n: int) -> Environments:
    """`n` games, with automatic resets."""
    return vectorize(make(cfg), n)


def make(cfg: Config) -> Environment:
    """One game as player 0, whose seat pgx draws.

    Raises UserError if pgx is not installed or has no such game.
    """
    game = load(cfg.name)

    def others_move(key, state, reward):
        """Random legal moves until player 0's turn or the end; adds player 0's rewards."""

        def waiting(carry):
            _, state, _ = carry
            return (state.current_player != 0) & ~state.terminated & ~state.truncated

        def move(carry):
            key, state, reward = carry
            key, key_action, key_step = jax.random.split(key, 3)
            logits = jnp.zeros(state.legal_action_mask.shape)
            action = Categorical(masked(logits, state.legal_action_mask)).sample(key_action)
            state = game.step(state, action, key_step)
            return key, state, reward + state.rewards[0]

        return jax.lax.while_loop(waiting, move, (key, state, reward))[1:]

    def observe(state):
        return Observation(state.observation.astype(jnp.float32), state.legal_action_mask)

    def reset(key):
        key_init, key_others = jax.random.split(key)
        state, _ = others_move(key_others, game.init(key_init), jnp.float32(0))
        return state, observe(state)

    def step(key, state, action):
        key_step, key_others = jax.random.split(key)
        state = game.step(state, action, key_step)
        state, reward = others_move(key_others, state, state.rewards[0])
        return state, Step(observe(state), reward, state.terminated, state.truncated)

    shape = game.observation_shape
    actions, picture = Discrete(game.num_actions), pictures.picture_of(cfg.name, shape)
    env = Environment(reset, step, shape, actions, cfg.max_steps, picture)
    return time_limit(env, cfg.max_steps)


def _pgx():
    """The package pgx. Raises UserError if it is not installed."""
    try:
        import pgx
    except ImportError as error:
        raise without_extra("games of pgx", error) from error
    return pgx


def load(name: str):
    """The game of pgx. Raises UserError if pgx is not installed or has no such game."""
    pgx = _pgx()
    if name not in pgx.available_envs():
        raise UserError(f"pgx has no game {name!r}{nearest(name, pgx.available_envs())}")
    try:
        return pgx.make(name)
    except ImportError as error:
        raise UserError(f"the pgx game {name} needs one more package: {error}") from error
