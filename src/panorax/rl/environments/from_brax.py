"""Environments of Brax (Freeman et al. 2021, arXiv:2106.13281): physics as a JAX program.

    pip install 'panorax[brax]'
    panorax run rl/ppo --environment brax --environment.name inverted_pendulum

Actions are in [-1, 1]. An episode ends where Brax's `done` is set, which is a termination, and is
truncated after `max_steps` steps. The wrappers of Brax are not used.
"""

import warnings
from typing import Literal

import jax
import jax.numpy as jnp

from panorax.core.errors import UserError
from panorax.core.names import nearest
from panorax.core.ranges import Count, DecayRate, checked
from panorax.rl.environments.environment import (
    Box,
    Environment,
    Environments,
    Observation,
    Step,
)
from panorax.rl.environments.wrappers import normalize_reward, time_limit, vectorize

EXTRA = "pip install 'panorax[brax]', or pip install -e '.[brax]' in a clone"


@checked
class Config:
    """An environment of Brax."""

    name: str = "inverted_pendulum"
    """name registered in Brax, such as ant, halfcheetah, hopper, humanoid or reacher"""
    backend: Literal["generalized", "positional", "spring", "mjx"] = "generalized"
    """physics: generalized (exact), positional or spring (fast), or mjx (MuJoCo)"""
    max_steps: Count = 1000
    """steps after which an episode is truncated"""
    reward_discount: DecayRate | None = None
    """discount of the running return whose standard deviation divides the rewards in training; None
    leaves rewards unchanged"""


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies, with automatic resets."""
    return normalize_reward(vectorize(make(cfg), n), cfg.reward_discount)


def make(cfg: Config) -> Environment:
    """One episode.

    Raises UserError if Brax is not installed or has no such environment, and if the environment
    does not run on the backend or has observations that are not one array.
    """
    env = _load(cfg)

    def reset(key):
        state = env.reset(key)
        return state, Observation(state.obs)

    like = jax.eval_shape(reset, jax.random.key(0))[0]
    if not isinstance(like.obs, jax.ShapeDtypeStruct):
        raise UserError(f"{cfg.name} of Brax has observations that are not one array")

    def step(key, state, action):
        after = env.step(state, jnp.clip(action, -1, 1))
        after = jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype), after, like)
        never = jnp.zeros((), bool)
        return after, Step(Observation(after.obs), after.reward, after.done > 0, never)

    bounds = (1.0,) * env.action_size
    shape = like.obs.shape
    endless = Environment(
        reset, step, shape, Box(tuple(-b for b in bounds), bounds), cfg.max_steps, None
    )
    return time_limit(endless, cfg.max_steps)


def _load(cfg: Config):
    try:
        with warnings.catch_warnings(action="ignore"):
            from brax import envs
    except ImportError as error:
        raise UserError(f"environments of Brax need the extra brax: {EXTRA} ({error})") from error
    names = [*envs._envs]
    if cfg.name not in names:
        raise UserError(f"Brax has no environment {cfg.name!r}{nearest(cfg.name, names)}")
    try:
        with warnings.catch_warnings(action="ignore"):
            return envs.get_environment(cfg.name, backend=cfg.backend)
    except (ValueError, KeyError) as error:
        raise UserError(f"{cfg.name} of Brax has no backend {cfg.backend} ({error})") from error
