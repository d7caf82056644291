"""Environments of gymnasium, stepped on the host.

    panorax run rl/ppo --environment LunarLander-v3 --seeds 0

Every step leaves the compiled program through an ordered callback, and the state stays on the host.
Therefore these environments run on one device and are not vmapped over seeds: `--seeds 0` leaves
out the report that does so. A resumed run starts new episodes instead of continuing bit for bit.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from panorax.core.errors import UserError
from panorax.core.ranges import DecayRate, checked
from panorax.rl.environments import pictures
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environments,
    MultiDiscrete,
    Observation,
    Space,
    Step,
    without_extra,
)
from panorax.rl.environments.wrappers import normalize_reward, stretch


@checked
class Config:
    """An environment of gymnasium; actions of a finite Box are in [-1, 1]."""

    name: str = "CartPole-v1"
    """name registered in gymnasium, or MODULE:NAME if importing MODULE registers it"""
    reward_discount: DecayRate | None = None
    """discount of the running return whose standard deviation divides the rewards in training; None
    leaves rewards unchanged"""


def ids() -> tuple[str, ...]:
    """The registered names."""
    return tuple(_gymnasium().registry)


def environments(cfg: Config, n: int) -> Environments:
    """`n` environments, stepped one after another on the host.

    Raises UserError if gymnasium is not installed or has no such environment, and if the
    environment's actions, observations or time limit do not fit `Environments`.
    """
    made = _made(cfg, n)
    inner = _space(made[0].action_space, cfg.name)
    shape, limit = made[0].observation_space.shape, made[0].spec.max_episode_steps
    if shape is None or limit is None:
        raise UserError(f"{cfg.name} needs observations that are one array, and a time limit")
    bounded = isinstance(inner, Box) and bool(np.isfinite(inner.low + inner.high).all())
    view_N = Observation(jax.ShapeDtypeStruct((n, *shape), jnp.float32))
    flag_N, reward_N = jax.ShapeDtypeStruct((n,), bool), jax.ShapeDtypeStruct((n,), jnp.float32)
    results = view_N, Step(view_N, reward_N, flag_N, flag_N)

    def reset(key):
        seed = jax.random.randint(key, (), 0, 2**30)
        observation = io_callback(functools.partial(_reset, made), view_N, seed, ordered=True)
        return jnp.zeros(n, jnp.int32), observation

    def step(key, time, action):
        action = stretch(action, inner) if bounded else action
        host_step = functools.partial(_step, made, int if isinstance(inner, Discrete) else None)
        observation, after = io_callback(host_step, results, action, ordered=True)
        return time + 1, observation, after

    actions = Box((-1.0,) * len(inner.low), (1.0,) * len(inner.low)) if bounded else inner
    picture = pictures.picture_of(cfg.name, shape)
    envs = Environments(n, reset, step, shape, actions, int(limit), on_host=True, picture=picture)
    return normalize_reward(envs, cfg.reward_discount)


def _gymnasium():
    """The package gymnasium. Raises UserError if it is not installed."""
    try:
        import gymnasium
    except ImportError as error:
        raise without_extra("gymnasium environments", error) from error
    return gymnasium


def _made(cfg: Config, n: int) -> list:
    """`n` gymnasium environments."""
    gymnasium = _gymnasium()
    try:
        return [gymnasium.make(cfg.name) for _ in range(n)]
    except gymnasium.error.Error as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"gymnasium cannot make {cfg.name!r}: {reason}") from error


def _reset(envs: list, seed) -> Observation:
    """Resets environment i with seed `seed + i`."""
    return _stacked([env.reset(seed=int(seed) + i)[0] for i, env in enumerate(envs)])


def _step(envs: list, scalar: type | None, actions) -> tuple[Observation, Step]:
    """Steps every environment, and resets those whose episode ended.

    If no environment was ever reset, because a resumed run made them anew, new episodes start.
    """
    if not envs[0].get_wrapper_attr("has_reset"):
        _reset(envs, 0)
    next_views, rows = [], []
    for env, action in zip(envs, np.asarray(actions)):
        view, reward, terminated, truncated, _ = env.step(scalar(action) if scalar else action)
        rows.append((view, reward, terminated, truncated and not terminated))
        next_views.append(env.reset()[0] if terminated or truncated else view)
    views, rewards, terminated, truncated = zip(*rows)
    after = Step(
        observation=_stacked(views),
        reward=np.array(rewards, np.float32),
        terminated=np.array(terminated, bool),
        truncated=np.array(truncated, bool),
    )
    return _stacked(next_views), after


def _stacked(views) -> Observation:
    return Observation(np.stack(views).astype(np.float32))


def _space(space, name: str) -> Space:
    if hasattr(space, "nvec"):
        return MultiDiscrete(tuple(int(k) for k in space.nvec))
    if hasattr(space, "n") and int(getattr(space, "start", 0)) == 0:
        return Discrete(int(space.n))
    if hasattr(space, "low"):
        return Box(tuple(space.low.ravel().tolist()), tuple(space.high.ravel().tolist()))
    raise UserError(f"{name} has actions that are neither discrete nor a box")
