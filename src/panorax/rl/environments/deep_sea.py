"""DeepSea: an n x n grid whose only large reward needs n right moves in a row.

The agent starts in the top left corner and sinks one row per step: an episode has n steps. Each
action moves the agent one column left or right, within the grid. Which of the two actions means
right is drawn for every cell, so that no constant policy goes right. A move right costs 0.01 / n,
and in the last column it earns 1; a move left is free. One of 2^n sequences of actions earns the 1:
its return is 0.99. An agent that explores at random needs 2^n episodes on average, and the cost
leads it away.
Source: Osband et al. 2020, "Behaviour suite for reinforcement learning" (arXiv:1908.03568), A.5;
bsuite 0.3.6, whose optional noise and constant mapping are left out.
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.ranges import Count, Whole, checked
from panorax.rl.environments import pictures
from panorax.rl.environments.environment import (
    Discrete,
    Environment,
    Environments,
    Observation,
    Step,
)
from panorax.rl.environments.wrappers import vectorize

COST = 0.01
"""cost of n moves right"""


@checked
class Config:
    """DeepSea without noise."""

    size: Count = 10
    """rows and columns, and steps of an episode [n]"""
    mapping: Whole = 0
    """seed of the meaning of the actions"""


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies, with automatic resets."""
    return vectorize(make(cfg), n)


def right_actions(cfg: Config) -> jax.Array:
    """The action, 0 or 1, that moves right in each cell, (n, n)."""
    key = jax.random.key(cfg.mapping)
    return jax.random.bernoulli(key, 0.5, (cfg.size, cfg.size)).astype(jnp.int32)


def picture(view) -> np.ndarray:
    """The grid as an image, the agent blue; all black after the last step."""
    return pictures.colours(np.asarray(view)[..., None])


def make(cfg: Config) -> Environment:
    """One episode; `view` is a one-hot grid, and all zero after the last step."""
    n = cfg.size

    def observe(row, column):
        grid = (jnp.arange(n)[:, None] == row) & (jnp.arange(n)[None] == column)
        return Observation(grid.astype(jnp.float32))

    def reset(key):
        start = jnp.int32(0), jnp.int32(0)
        return start, observe(*start)

    def step(key, state, action):
        row, column = state
        right = action == right_actions(cfg)[row, column]
        treasure = right & (column == n - 1)
        reward = jnp.where(treasure, 1.0, 0.0) - jnp.where(right, COST / n, 0.0)
        row, column = row + 1, jnp.clip(column + jnp.where(right, 1, -1), 0, n - 1)
        end = row == n
        return (row, column), Step(observe(row, column), reward, end, jnp.zeros_like(end))

    return Environment(reset, step, (n, n), Discrete(2), n, picture)
