"""Wrappers of environments: copies with automatic resets, time limits, scaled actions, frame
stacks, sticky actions and normalised rewards."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.rl import moments
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environment,
    Environments,
    Space,
)


@struct.dataclass
class Copies:
    """State of n vectorised environments."""

    state: Any
    """states of the running episodes"""
    ready: Any
    """(state, observation) from which each copy starts its next episode"""
    used: jax.Array
    """true for copies whose `ready` start has been used, bool (N,)"""


def vectorize(env: Environment, n: int) -> Environments:
    """`n` copies of `env` stepped together; a copy whose episode ends starts the next one at once.

    The starts of the next episodes are drawn ahead, one per copy. When a copy needs a second start,
    all used starts are drawn anew together, so that most steps draw none. The drawn starts take as
    much memory as the states.
    """
    fresh = lambda key: jax.vmap(env.reset)(jax.random.split(key, n))

    def reset(key):
        key_now, key_next = jax.random.split(key)
        state, observation = fresh(key_now)
        return Copies(state, fresh(key_next), jnp.zeros(n, bool)), observation

    def step(key, copies, action):
        key_step, key_fresh = jax.random.split(key)
        state, after = jax.vmap(env.step)(jax.random.split(key_step, n), copies.state, action)
        ended = after.terminated | after.truncated
        ready, used = jax.lax.cond(
            jnp.any(ended & copies.used),
            lambda: (select(copies.used, fresh(key_fresh), copies.ready), jnp.zeros(n, bool)),
            lambda: (copies.ready, copies.used),
        )
        state, observation = select(ended, ready, (state, after.observation))
        return Copies(state, ready, used | ended), observation, after

    return Environments(n, reset, step, env.shape, env.actions, env.max_steps, picture=env.picture)


def select(condition_N, then, otherwise):
    """Rows of `then` if the condition is true, else of `otherwise`; all leaves are (N, ...)."""

    def choose(a, b):
        return jnp.where(condition_N.reshape(condition_N.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, then, otherwise)


def time_limit(env: Environment, max_steps: int) -> Environment:
    """Truncates episodes after `max_steps` steps."""

    def reset(key):
        state, observation = env.reset(key)
        return (state, jnp.int32(0)), observation

    def step(key, state, action):
        inner, time = state
        inner, after = env.step(key, inner, action)
        late = (time + 1 >= max_steps) & ~after.terminated
        return (inner, time + 1), after.replace(truncated=after.truncated | late)

    return dataclasses.replace(env, reset=reset, step=step, max_steps=max_steps)


def frame_stack(env: Environment, n: int) -> Environment:
    """Observes the last `n` views joined along their last axis, the newest last.

    Before the n-th step of an episode, its first view fills the missing places.
    Source: Mnih et al. 2015, doi:10.1038/nature14236.
    """
    if n == 1:
        return env

    def reset(key):
        state, observation = env.reset(key)
        stack = jnp.concatenate([observation.view] * n, -1)
        return (state, stack), observation.replace(view=stack)

    def step(key, state, action):
        inner, stack = state
        inner, after = env.step(key, inner, action)
        view = after.observation.view
        stack = jnp.concatenate([stack[..., view.shape[-1] :], view], -1)
        return (inner, stack), after.replace(observation=after.observation.replace(view=stack))

    newest = env.shape[-1]
    return dataclasses.replace(
        env,
        reset=reset,
        step=step,
        shape=(*env.shape[:-1], n * newest),
        picture=env.picture and (lambda view: env.picture(view[..., -newest:])),
    )


def sticky_actions(env: Environment, probability: float) -> Environment:
    """Repeats the previous action of the episode with this probability instead of the new one.

    The first action of an episode is never replaced. Source: Machado et al. 2018, arXiv:1709.06009.
    """
    if probability == 0:
        return env

    def reset(key):
        state, observation = env.reset(key)
        return (state, no_action(env.actions), jnp.bool_(True)), observation

    def step(key, state, action):
        key_sticky, key_step = jax.random.split(key)
        inner, previous, first = state
        sticks = jax.random.bernoulli(key_sticky, probability) & ~first
        action = jnp.where(sticks, previous, action)
        inner, after = env.step(key_step, inner, action)
        return (inner, action, jnp.bool_(False)), after

    return dataclasses.replace(env, reset=reset, step=step)


def normalize_reward(envs: Environments, discount: float | None) -> Environments:
    """Divides rewards by the running standard deviation of the discounted sum of past rewards.

    The n environments share the statistics, which go on over the ends of episodes. Reported returns
    are sums of the rewards before the division. None changes nothing.
    Source: Engstrom et al. 2020, arXiv:2005.12729; NormalizeReward of gymnasium.
    """
    if discount is None:
        return envs

    def reset(key):
        state, observation = envs.reset(key)
        return (state, moments.no_returns(envs.n)), observation

    def step(key, state, action_N):
        inner, returns = state
        inner, observation, after = envs.step(key, inner, action_N)
        returns = moments.add_rewards(returns, after.reward, after.terminated, discount)
        reward = moments.scaled(after.reward, returns)
        return (inner, returns), observation, after.replace(reward=reward, unscaled=after.earned)

    return dataclasses.replace(envs, reset=reset, step=step)


def no_action(space: Space) -> jax.Array:
    """Zeros with the shape and dtype of an action of `space`."""
    if isinstance(space, Box):
        return jnp.zeros(len(space.low), jnp.float32)
    return jnp.zeros(() if isinstance(space, Discrete) else len(space.n), jnp.int32)


def unit_actions(env: Environment) -> Environment:
    """Replaces a Box with finite bounds by the cube [-1, 1]^K, mapped onto it by `stretch`.

    Environments with another action space are returned unchanged.
    """
    if not isinstance(env.actions, Box) or not all(
        map(jnp.isfinite, env.actions.low + env.actions.high)
    ):
        return env

    def step(key, state, action):
        return env.step(key, state, stretch(action, env.actions))

    K = len(env.actions.low)
    return dataclasses.replace(env, step=step, actions=Box((-1.0,) * K, (1.0,) * K))


def stretch(action, box: Box):
    """Clips an action (..., K) to the cube [-1, 1]^K and maps the cube linearly onto the box."""
    low, high = (
        jnp.array(x).reshape((1,) * (action.ndim - 1) + (-1,)) for x in (box.low, box.high)
    )
    return low + (jnp.clip(action, -1, 1) + 1) / 2 * (high - low)


def discrete_values(env: Environment, n: int) -> Environment:
    """Replaces the action space [-1, 1] by n evenly spaced values, the actions 0 .. n - 1.

    Raises ValueError for another action space.
    """
    if env.actions != Box((-1.0,), (1.0,)):
        raise ValueError(f"only actions in [-1, 1] have {n} values, and these are {env.actions}")

    def step(key, state, action):
        return env.step(key, state, (2 * action[None] / (n - 1) - 1).astype(jnp.float32))

    return dataclasses.replace(env, step=step, actions=Discrete(n))


def nearest_value(x, n: int):
    """The action 0 .. n - 1 whose value is nearest to x in [-1, 1], int32."""
    return jnp.round((jnp.clip(x, -1, 1) + 1) / 2 * (n - 1)).astype(jnp.int32)
