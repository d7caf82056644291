"""Environments of gymnasium, which run on the host, through the protocol of `panorax.rl.environments.environment`.

Every step leaves the compiled program by an ordered callback. So what a host world cannot give is given up: its state is no value, so it cannot be
`vmap`ped over seeds (set `seeds` of PPO to 0), spread over devices, or resumed bit for bit (a resumed run starts new episodes).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from panorax.core.errors import UserError
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environments,
    MultiDiscrete,
    Observation,
    Space,
    Step,
)
from panorax.rl.environments.wrappers import stretch


@dataclass(frozen=True)
class Config:
    """`name` as registered in gymnasium; actions of a finite Box are in [-1, 1]."""

    name: str = "CartPole-v1"


def environments(cfg: Config, n: int) -> Environments:
    """`n` worlds stepped one after the other. Raises UserError where gymnasium is missing, has no such world, or it fits no Space."""
    try:
        import gymnasium
    except ImportError as error:
        raise UserError(
            f"gymnasium environments need `pip install 'panorax[rl]'` ({error})"
        ) from error
    try:
        worlds = [gymnasium.make(cfg.name) for _ in range(n)]
    except gymnasium.error.Error as error:
        raise UserError(
            f"gymnasium has no environment {cfg.name!r}: {str(error).splitlines()[0]}"
        ) from error
    inner, shape, limit = (
        _space(worlds[0].action_space, cfg.name),
        worlds[0].observation_space.shape,
        worlds[0].spec.max_episode_steps,
    )
    if shape is None or limit is None:
        raise UserError(f"{cfg.name} needs observations that are one array, and a time limit")
    bounded = isinstance(inner, Box) and bool(np.isfinite(inner.low + inner.high).all())
    views, flags = jax.ShapeDtypeStruct((n, *shape), jnp.float32), jax.ShapeDtypeStruct((n,), bool)
    stack = lambda rows: np.stack(rows).astype(np.float32)

    def host_reset(seed):
        return stack([world.reset(seed=int(seed) + i)[0] for i, world in enumerate(worlds)])

    def host_step(actions):
        kind = int if isinstance(inner, Discrete) else np.asarray
        last, reward, terminated, truncated, _ = zip(
            *(world.step(kind(a)) for world, a in zip(worlds, np.asarray(actions)))
        )
        following = [
            w.reset()[0] if t or c else view
            for w, view, t, c in zip(worlds, last, terminated, truncated)
        ]
        return (
            stack(following),
            stack(last),
            np.array(reward, np.float32),
            np.array(terminated),
            np.array(truncated) & ~np.array(terminated),
        )

    def reset(key):
        seed = jax.random.randint(key, (), 0, 2**30)
        return jnp.zeros(n, jnp.int32), Observation(
            io_callback(host_reset, views, seed, ordered=True)
        )

    def step(key, time, action):
        rewards = jax.ShapeDtypeStruct((n,), jnp.float32)
        action = stretch(action, inner) if bounded else action
        following, *after = io_callback(
            host_step, (views, views, rewards, flags, flags), action, ordered=True
        )
        view, reward, terminated, truncated = after
        return (
            time + 1,
            Observation(following),
            Step(Observation(view), reward, terminated, truncated),
        )

    actions = Box((-1.0,) * len(inner.low), (1.0,) * len(inner.low)) if bounded else inner
    return Environments(n, reset, step, shape, actions, int(limit))


def _space(space, name: str) -> Space:
    if hasattr(space, "nvec"):
        return MultiDiscrete(tuple(int(k) for k in space.nvec))
    if hasattr(space, "n") and int(getattr(space, "start", 0)) == 0:
        return Discrete(int(space.n))
    if hasattr(space, "low"):
        return Box(tuple(space.low.ravel().tolist()), tuple(space.high.ravel().tolist()))
    raise UserError(f"the actions of {name} are neither discrete nor a box")
