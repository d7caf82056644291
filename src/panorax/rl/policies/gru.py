"""A policy with memory: a layer, a GRU, and from its memory both the policy and its value."""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, checked
from panorax.nets import mlp
from panorax.nets.recurrent.gru import gru, gru_spec
from panorax.rl.environments.environment import Observation, Space
from panorax.rl.policies import actions
from panorax.rl.policies.policy import Policy


@checked
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


def apply(params, memory, observation: Observation, first_BT: jax.Array, cfg: Config, space: Space):
    """(memory, distribution over actions, value), the latter two with leading axes B T; the memory is emptied where `first_BT`."""
    x_BTI = observation.view.reshape(*first_BT.shape, -1)
    x_BTD = mlp.apply(params["torso"], x_BTI, getattr(jax.nn, cfg.activation))
    memory, h_BTD = gru(params["gru"], memory, x_BTD, first_BT)
    return (
        memory,
        actions.head(params["actor"], h_BTD, observation.legal, space),
        mlp.dense(params["critic"], h_BTD)[..., 0],
    )


def policy(cfg: Config, shape: tuple[int, ...], space: Space) -> Policy:
    """The policy as a value; its memory starts at zero."""
    whole = functools.partial(apply, cfg=cfg, space=space)
    return Policy(spec(cfg, shape, space), whole, lambda n: jnp.zeros((n, cfg.width)), cfg.span)
