"""Probe environments: minimal tasks with known values, each of which isolates one fault.

constant     Sees 0, earns 1, ends.
             Correct: V = 1.
prediction   Sees x = +-1, earns x, ends.
             Correct: V(x) = x.
discounting  Sees 0, then 1, then earns 1 and ends.
             Correct: V(1) = 1, V(0) = discount.
action       Sees 0, earns 1 for action 1 and -1 for action 0, ends.
             Correct: action 1, V = 1.
policy       Sees x = +-1, earns 1 for action (x + 1) / 2 and -1 for the other, ends.
             Correct: action (x + 1) / 2, V = 1.
combination  Sees 0, earns 1 for action (1, 2) of 2 x 3 and 0 for all others, ends.
             Correct: action (1, 2), V = 1.
continuous   Sees x = +-1, earns -(a - x / 2)^2 for action a, ends.
             Correct: mean action x / 2.
time_limit   Sees x = +-1, earns 1; ends if x = 1, is truncated with view x if x = -1.
             Correct: V(1) = 1, V(-1) = 1 / (1 - discount).
memory       Sees x = +-1, then 0 for `delay` steps; earns 1 if the last action is (x + 1) / 2, else
             -1, and ends.
             Correct: return 1. The mean return without memory is at most 0.

Rewards of the first three and of time_limit do not depend on the action. With `box`, their actions
are [-1, 1] instead of {0, 1}.
Source: Jones 2021, "Debugging RL".
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

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
    "constant",
    "prediction",
    "discounting",
    "action",
    "policy",
    "combination",
    "continuous",
    "time_limit",
    "memory",
]
WITHOUT_ACTIONS = ("constant", "prediction", "discounting", "time_limit")


@checked
class Config:
    """One of the probes."""

    name: Name = "constant"
    """name of the probe"""
    delay: Count = 3
    """steps between the cue and the rewarded action of the memory probe"""
    box: bool = False
    """actions in [-1, 1], for probes whose rewards do not depend on the action"""

    def __post_init__(self):
        if self.box and self.name not in WITHOUT_ACTIONS:
            raise ValueError(
                f"the rewards of {self.name} depend on the action; box is for "
                f"{', '.join(WITHOUT_ACTIONS)}"
            )


def ids() -> tuple[str, ...]:
    """The names of all probes."""
    return get_args(Name)


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies, with automatic resets."""
    return vectorize(make(cfg), n)


def make(cfg: Config) -> Environment:
    """One episode of the probe; `view` has shape (1,)."""
    if cfg.box:
        env = make(dataclasses.replace(cfg, box=False))
        return dataclasses.replace(env, actions=Box((-1.0,), (1.0,)))
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
    """0 for every key."""
    return jnp.float32(0)


def sign(key: jax.Array) -> jax.Array:
    """-1 or 1 with equal probability."""
    return jnp.where(jax.random.bernoulli(key), jnp.float32(1), jnp.float32(-1))


def one_step(
    draw: Callable, actions: Space, reward: Callable, terminates: Callable = lambda x: x == x
) -> Environment:
    """Sees x = draw(key) and earns reward(x, action) in an episode of one step.

    The step terminates if terminates(x), and is truncated otherwise.
    """

    def reset(key):
        x = draw(key)
        return x, Observation(x[None])

    def step(key, x, action):
        end = terminates(x)
        return x, Step(Observation(x[None]), jnp.float32(reward(x, action)), end, ~end)

    return Environment(reset, step, (1,), actions, 1)


def cue(delay: int, draw: Callable, filler: Callable, reward: Callable) -> Environment:
    """Sees x = draw(key), then filler(time) for `delay` steps.

    The last action earns reward(x, action) and terminates the episode.
    """

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
