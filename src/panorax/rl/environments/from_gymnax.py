"""Environments of gymnax (Lange 2022): classic control, MinAtar, bsuite and others.

The automatic reset and the merged `done` flag of gymnax are not used. `terminated` comes from
`step_env`, `truncated` from `is_truncated`.

MinAtar in gymnax differs from the authors' (Young & Tian 2019): only the actions that do something,
no sticky actions, and episodes of at most 1,000 steps. Its returns are not those of the paper.
"""

import jax
import jax.numpy as jnp

from panorax.core.deferred import deferred
from panorax.core.errors import UserError
from panorax.core.names import nearest
from panorax.core.ranges import Count, DecayRate, Share, Whole, checked
from panorax.rl.environments import pictures
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environment,
    Environments,
    Observation,
    Space,
    Step,
    without_extra,
)
from panorax.rl.environments.wrappers import (
    discrete_values,
    frame_stack,
    normalize_reward,
    sticky_actions,
    unit_actions,
    vectorize,
)


@checked
class Config:
    """An environment of gymnax; actions of a Box are in [-1, 1]."""

    name: str = "CartPole-v1"
    """name registered in gymnax"""
    params: tuple[tuple[str, float], ...] = ()
    """parameters of the environment to replace, as (name, value) pairs"""
    stack: Count = 1
    """views that are stacked into one observation"""
    sticky: Share = 0.0
    """probability that an action repeats the previous one; MinAtar defines 0.1, gymnax 0"""
    values: Whole = 0
    """number of evenly spaced values that replace actions in [-1, 1]; 0 keeps them continuous"""
    reward_discount: DecayRate | None = None
    """discount of the running return whose standard deviation divides the rewards in training; None
    leaves rewards unchanged"""

    def __post_init__(self):
        if self.values == 1:
            raise ValueError("one value is no choice of actions; values is 0 or at least 2")


def ids() -> tuple[str, ...]:
    """The names of all environments."""
    return tuple(_gymnax().registered_envs)


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies, with automatic resets."""
    env = frame_stack(unit_actions(make(cfg)), cfg.stack)
    env = discrete_values(env, cfg.values) if cfg.values else env
    return normalize_reward(vectorize(sticky_actions(env, cfg.sticky), n), cfg.reward_discount)


def make(cfg: Config) -> Environment:
    """One episode, with actions as gymnax defines them.

    Raises UserError if gymnax is not installed or has no such environment or parameter.
    """
    env, params = _load(cfg)
    actions = _space(env.action_space(params), cfg.name)
    action_shape = env.action_space(params).shape

    def reset(key):
        view, state = env.reset_env(key, params)
        strong = lambda x: jnp.asarray(
            x, jnp.asarray(x).dtype
        )  # a weak type would recompile a step
        return jax.tree.map(strong, state), Observation(jnp.asarray(view, jnp.float32))

    like = jax.eval_shape(reset, jax.random.key(0))

    def step(key, state, action):
        view, after, reward, terminated, _ = env.step_env(
            key, state, action.reshape(action_shape), params
        )
        truncated = env.is_truncated(after, params) & ~terminated
        after = jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype).reshape(s.shape), after, like[0])
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        return after, Step(
            Observation(jnp.asarray(view, jnp.float32)), reward, terminated, truncated
        )

    shape, max_steps = like[1].view.shape, int(params.max_steps_in_episode)
    picture = pictures.picture_of(cfg.name, shape)
    return Environment(reset, step, shape, actions, max_steps, picture)


def _gymnax():
    """The package gymnax. Raises UserError if it is not installed."""
    try:
        with deferred("seaborn", "matplotlib"):
            import gymnax
    except ImportError as error:
        raise without_extra("gymnax environments", error) from error
    return gymnax


def _load(cfg: Config):
    gymnax = _gymnax()
    if cfg.name not in gymnax.registered_envs:
        raise UserError(
            f"gymnax has no environment {cfg.name!r}{nearest(cfg.name, gymnax.registered_envs)}"
        )
    env, params = gymnax.make(cfg.name)
    for name, value in cfg.params:
        if not hasattr(params, name):
            accepted = ", ".join(vars(params))
            hint = nearest(name, vars(params))
            raise UserError(f"{cfg.name} has no parameter {name!r}{hint}; it has: {accepted}")
        params = params.replace(**{name: type(getattr(params, name))(value)})
    return env, params


def _space(space, name: str) -> Space:
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    if hasattr(space, "low"):
        low, high = (
            jnp.broadcast_to(jnp.asarray(b, jnp.float32), space.shape).ravel().tolist()
            for b in (space.low, space.high)
        )
        return Box(tuple(low), tuple(high))
    raise UserError(f"{name} has actions that are neither discrete nor a box")
