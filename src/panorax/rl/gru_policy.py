"""A policy with memory: a layer, a GRU, and from its memory both the policy and its value."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count
from panorax.nets import mlp
from panorax.nets.recurrent import gru, gru_spec
from panorax.rl import actions
from panorax.rl.environment import Observation, Space


@dataclass(frozen=True)
class Config:
    """Width of the layer and of the memory; `span` steps are trained through at a time, from the memory the rollout had there."""

    width: Count = 64
    span: Count = 16
    activation: Literal["tanh", "relu"] = "tanh"


def spec(cfg: Config, shape: tuple[int, ...], space: Space):
    """Parameters for observations of this shape and actions of this space."""
    return {
        "torso": mlp.spec((math.prod(shape), cfg.width)),
        "gru": gru_spec(cfg.width, cfg.width),
        "actor": actions.head_spec(space, cfg.width),
        "critic": mlp.dense_spec(cfg.width, 1, mlp.fan_in(1.0)),
    }


def empty_memory(cfg: Config, n: int):
    """The empty memory of `n` environments."""
    return jnp.zeros((n, cfg.width))


def span(cfg: Config) -> int:
    """Steps of one training example."""
    return cfg.span


def apply(params, memory, observation: Observation, first_BT: jax.Array, cfg: Config, space: Space):
    """(memory, distribution over actions, value), the latter two with leading axes B T; the memory is emptied where `first_BT`."""
    x_BTI = observation.view.reshape(*first_BT.shape, -1)
    x_BTD = mlp.apply(params["torso"], x_BTI, getattr(jax.nn, cfg.activation))
    memory, h_BTD = gru(params["gru"], memory, x_BTD, first_BT)
    return memory, actions.head(params["actor"], h_BTD, observation.legal, space), mlp.dense(params["critic"], h_BTD)[..., 0]
