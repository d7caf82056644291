"""Recurrent policy: a dense layer and a GRU, whose output feeds the actor and the critic."""

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
    """A recurrent policy, trained by truncated backpropagation through time."""

    width: Count = 64
    """width of the dense layer and of the memory"""
    span: Count = 16
    """steps of backpropagation through time, each sequence starting from the rollout's memory"""
    activation: Literal["tanh", "relu"] = "tanh"
    """nonlinearity of the dense layer"""


def spec(cfg: Config, shape: tuple[int, ...], space: Space):
    """Parameters for observations of this shape and actions of this space."""
    return {
        "torso": mlp.spec((math.prod(shape), cfg.width)),
        "gru": gru_spec(cfg.width, cfg.width),
        "actor": actions.head_spec(space, cfg.width),
        "critic": mlp.dense_spec(cfg.width, 1, mlp.fan_in(1.0)),
    }


def apply(params, memory, observation: Observation, first_BT: jax.Array, cfg: Config, space: Space):
    """(memory, action distribution, value), the last two with leading axes B T.

    `first_BT` marks the first steps of episodes, at which the memory is reset.
    """
    x_BTI = observation.view.reshape(*first_BT.shape, -1)
    x_BTD = mlp.apply(params["torso"], x_BTI, getattr(jax.nn, cfg.activation))
    memory, h_BTD = gru(params["gru"], memory, x_BTD, first_BT)
    return (
        memory,
        actions.head(params["actor"], h_BTD, observation.legal, space),
        mlp.dense(params["critic"], h_BTD)[..., 0],
    )


def policy(cfg: Config, shape: tuple[int, ...], space: Space) -> Policy:
    """The policy for observations of this shape; its initial memory is zero."""
    whole = functools.partial(apply, cfg=cfg, space=space)
    return Policy(spec(cfg, shape, space), whole, lambda n: jnp.zeros((n, cfg.width)), cfg.span)
