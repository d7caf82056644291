"""A policy without memory: one multi-layer perceptron for the policy, one for its value."""

import math
from dataclasses import dataclass
from typing import Literal

import jax

from panorax.core.ranges import Count
from panorax.nets import mlp
from panorax.rl import actions
from panorax.rl.environment import Observation, Space


@dataclass(frozen=True)
class Config:
    """Widths of the hidden layers of both networks."""

    hidden: tuple[Count, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"


def spec(cfg: Config, shape: tuple[int, ...], space: Space):
    """Parameters for observations of this shape and actions of this space."""
    sizes = (math.prod(shape), *cfg.hidden)
    return {
        "actor": {"torso": mlp.spec(sizes), "head": actions.head_spec(space, sizes[-1])},
        "critic": {"torso": mlp.spec(sizes), "head": mlp.dense_spec(sizes[-1], 1, mlp.fan_in(1.0))},
    }


def empty_memory(cfg: Config, n: int):
    """Nothing is remembered."""
    return ()


def span(cfg: Config) -> int:
    """Every step is a training example of its own."""
    return 1


def apply(params, memory, observation: Observation, first_BT: jax.Array, cfg: Config, space: Space):
    """(memory, distribution over actions, value), the latter two with leading axes B T."""
    x_BTI = observation.view.reshape(*first_BT.shape, -1)
    activation = getattr(jax.nn, cfg.activation)
    actor, critic = (mlp.apply(params[net]["torso"], x_BTI, activation) for net in ("actor", "critic"))
    policy = actions.head(params["actor"]["head"], actor, observation.legal, space)
    return memory, policy, mlp.dense(params["critic"]["head"], critic)[..., 0]
