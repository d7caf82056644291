"""Feed-forward policy: one multi-layer perceptron for the actor and one for the critic."""

import functools
import math
from typing import Literal

import jax

from panorax.core.ranges import Count, checked
from panorax.nets import mlp
from panorax.rl.environments.environment import Observation, Space
from panorax.rl.policies import actions
from panorax.rl.policies.policy import Policy


@checked
class Config:
    """A policy without memory."""

    hidden: tuple[Count, ...] = (64, 64)
    """widths of the hidden layers of both networks"""
    activation: Literal["tanh", "relu"] = "tanh"
    """nonlinearity of the hidden layers"""

    @property
    def span(self) -> int:
        """Steps of one training example."""
        return 1


def spec(cfg: Config, shape: tuple[int, ...], space: Space):
    """Parameters for observations of this shape and actions of this space."""
    sizes = (math.prod(shape), *cfg.hidden)
    return {
        "actor": {"torso": mlp.spec(sizes), "head": actions.head_spec(space, sizes[-1])},
        "critic": {"torso": mlp.spec(sizes), "head": mlp.dense_spec(sizes[-1], 1, mlp.fan_in(1.0))},
    }


def apply(params, memory, observation: Observation, first_BT: jax.Array, cfg: Config, space: Space):
    """(memory, action distribution, value), the last two with leading axes B T."""
    x_BTI = observation.view.reshape(*first_BT.shape, -1)
    activation = getattr(jax.nn, cfg.activation)
    actor, critic = (
        mlp.apply(params[net]["torso"], x_BTI, activation) for net in ("actor", "critic")
    )
    policy = actions.head(params["actor"]["head"], actor, observation.legal, space)
    return memory, policy, mlp.dense(params["critic"]["head"], critic)[..., 0]


def policy(cfg: Config, shape: tuple[int, ...], space: Space) -> Policy:
    """The policy for observations of this shape; its memory is empty."""
    return Policy(
        spec(cfg, shape, space), functools.partial(apply, cfg=cfg, space=space), lambda n: ()
    )
