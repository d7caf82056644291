"""Probe environments: the smallest worlds whose values are known exactly, each failing when one thing is broken (Jones 2021, "Debugging RL").

| probe       | one episode                                                                     | right answer                              |
|-------------|---------------------------------------------------------------------------------|-------------------------------------------|
| constant    | sees 0, earns 1, ends                                                           | V = 1                                     |
| prediction  | sees x = +-1, earns x, ends                                                     | V(x) = x                                  |
| discounting | sees 0, then 1, then earns 1 and ends                                           | V(1) = 1, V(0) = discount                 |
| action      | sees 0, earns 1 for action 1 and -1 for action 0, ends                          | action 1, V = 1                           |
| policy      | sees x = +-1, earns 1 for action (x + 1) / 2 and -1 for the other, ends         | that action, V = 1                        |
| combination | sees 0, earns 1 for action (1, 2) of 2 x 3 and 0 for others, ends               | that action, V = 1                        |
| continuous  | sees x = +-1, earns -(a - x / 2)^2, ends                                        | mean action x / 2                         |
| time_limit  | sees x = +-1, earns 1; x = 1: ends, x = -1: cut off there, still seeing x       | V(1) = 1, V(-1) = 1 / (1 - discount)      |
| memory      | sees x = +-1, then 0 `delay` times; earns 1 for action (x + 1) / 2 at the last  | return 1; nothing without memory gets > 0 |
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, checked
from panorax.rl.environments.environment import (
    Box,
    Discrete,
    Environment,
    Environments,
    MultiDiscrete,
    Observation,
    Space,
    Step,
)
from panorax.rl.environments.wrappers import vectorize

Name = Literal[
    "constant", "prediction", "discounting", "action", "policy", "combination", "continuous", "time_limit", "memory"
]  # fmt: skip


@checked
class Config:
    """Which probe, and how many steps the memory probe's cue must be kept."""

    name: Name = "constant"
    delay: Count = 3


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies."""
    return vectorize(make(cfg), n)


def make(cfg: Config) -> Environment:
    """One episode. In all probes `view` has shape (1,)."""
    match = lambda x, a: jnp.where(a == (x > 0), 1.0, -1.0)
    return {
        "constant": lambda: one_step(zero, Discrete(2), lambda x, a: 1.0),
        "prediction": lambda: one_step(sign, Discrete(2), lambda x, a: x),
        "discounting": lambda: cue(1, lambda key: 0.0, lambda time: 1.0, lambda x, a: 1.0),
        "action": lambda: one_step(zero, Discrete(2), lambda x, a: match(1.0, a)),
        "policy": lambda: one_step(sign, Discrete(2), match),
        "combination": lambda: one_step(
            zero, MultiDiscrete((2, 3)), lambda x, a: jnp.all(a == jnp.array([1, 2]))
        ),
        "continuous": lambda: one_step(
            sign, Box((-1.0,), (1.0,)), lambda x, a: -jnp.square(a[0] - x / 2)
        ),
        "time_limit": lambda: one_step(
            sign, Discrete(2), lambda x, a: 1.0, terminates=lambda x: x > 0
        ),
        "memory": lambda: cue(cfg.delay, sign, lambda time: 0.0, match),
    }[cfg.name]()


def zero(key: jax.Array) -> jax.Array:
    return jnp.float32(0)


def sign(key: jax.Array) -> jax.Array:
    """-1 or 1, equally likely."""
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)


def one_step(
    draw: Callable, actions: Space, reward: Callable, terminates: Callable = lambda x: x == x
) -> Environment:
    """Sees x = draw(key), earns reward(x, action); then it has ended where terminates(x), and is cut off where not."""

    def reset(key):
        x = draw(key)
        return x, Observation(x[None])

    def step(key, x, action):
        end = terminates(x)
        return x, Step(Observation(x[None]), jnp.float32(reward(x, action)), end, ~end)

    return Environment(reset, step, (1,), actions, 1)


def cue(delay: int, draw: Callable, filler: Callable, reward: Callable) -> Environment:
    """Sees x = draw(key), then filler(time) for `delay` steps; earns reward(x, action) for the last action, and ends."""

    def reset(key):
        x = jnp.float32(draw(key))
        return (x, jnp.int32(0)), Observation(x[None])

    def step(key, state, action):
        x, time = state
        end = time == delay
        view = jnp.float32(filler(time + 1))
        return (x, time + 1), Step(
            Observation(view[None]),
            jnp.where(end, reward(x, action), 0.0),
            end,
            jnp.zeros_like(end),
        )

    return Environment(reset, step, (1,), Discrete(2), delay + 1)
