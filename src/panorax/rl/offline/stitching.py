"""Offline data whose best behaviour no episode shows: it joins the halves of two episodes.

State 0 starts every evaluated episode. The data has three kinds of episodes:

    0 --a=0--> 1 --a=0--> end     return 0
    0 --a=1--> end                return 0.5
    2 --a=0--> 1 --a=1--> end     return 1

The best policy goes from 0 to 1 and takes the action 1 there: return 1. Dynamic programming on the
transitions finds it. Imitation of the best episodes that start in 0 returns 0.5: to stitch, a
method has to learn that the rest of the third episode may follow the start of the first.
Source: Brandfonbrener et al. 2022, arXiv:2206.01079, section 3.
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.ranges import Count, checked
from panorax.rl.environments.environment import (
    Discrete,
    Environment,
    Environments,
    Observation,
    Step,
)
from panorax.rl.environments.wrappers import vectorize
from panorax.rl.offline.dataset import Dataset

NEXT = np.array([[1, 3], [3, 3], [1, 1]])
"""next state of each state and action; 3 is the end"""
REWARD = np.array([[0.0, 0.5], [0.0, 1.0], [0.0, 0.0]])
"""reward of each state and action"""
EPISODES = (((0, 0), (1, 0)), ((0, 1),), ((2, 0), (1, 1)))
"""(state, action) of the steps of each kind of episode"""
BEST, BEST_OF_EPISODES = 1.0, 0.5
"""returns from state 0 of the best policy, and of the best episode of the data"""


@checked
class Config:
    """Episodes whose halves have to be joined."""

    episodes: Count = 20
    """episodes of each kind"""


def _view(state):
    """The state as one-hot numbers, the end as zeros."""
    return jax.nn.one_hot(state, len(NEXT))


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies, which start in state 0."""

    def step(key, state, action):
        after, reward = jnp.asarray(NEXT)[state, action], jnp.asarray(REWARD)[state, action]
        terminated = after == len(NEXT)
        observation = Observation(_view(after))
        return after, Step(observation, reward.astype(jnp.float32), terminated, jnp.bool_(False))

    def reset(key):
        return jnp.int32(0), Observation(_view(0))

    return vectorize(Environment(reset, step, (len(NEXT),), Discrete(2), max_steps=2), n)


def dataset(cfg: Config) -> Dataset:
    """The transitions of all episodes, one kind after another."""
    steps = [step for kind in EPISODES for step in kind * cfg.episodes]
    state, action = np.array(steps).T
    after = NEXT[state, action]
    return {
        "view": np.asarray(_view(state)),
        "next_view": np.asarray(_view(after)),
        "action": action.astype(np.int32),
        "reward": REWARD[state, action].astype(np.float32),
        "terminated": after == len(NEXT),
        "truncated": np.zeros(len(steps), bool),
    }
