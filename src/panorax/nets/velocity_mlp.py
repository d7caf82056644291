"""Velocity field on points: a multi-layer perceptron of position, time and class."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core.net import Net, stateless
from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.nets import mlp
from panorax.ops.positions import sinusoidal


@checked
class Config:
    hidden: tuple[Count, ...] = (256, 256, 256)
    """widths of the hidden layers"""
    time_width: Count = 64
    """width of the time features and of the class embedding, an even number"""


def spec(cfg: Config, shape: tuple[int, ...], classes: int):
    """Parameters for points of `shape` (D,) and `classes` labels."""
    table = jax.nn.initializers.normal(0.02)
    return {
        "label": P((classes, cfg.time_width), ("labels", "embed"), table),
        "torso": mlp.spec((shape[0] + 2 * cfg.time_width, *cfg.hidden)),
        "out": mlp.dense_spec(cfg.hidden[-1], shape[0], jax.nn.initializers.zeros),
    }


def net(cfg: Config, shape: tuple[int, ...], classes: int) -> Net:
    """The field on points of `shape`: maps (x, t, label) to an array of the shape of x."""
    return stateless(spec(cfg, shape, classes), functools.partial(apply, cfg=cfg))


def apply(
    params,
    x_BD: Float[Array, "B D"],
    t_B: Float[Array, " B"],
    label_B: Int[Array, " B"],
    cfg: Config,
) -> Float[Array, "B D"]:
    """The field at x, time t in [0, 1] and class label."""
    time = sinusoidal(100 * t_B, cfg.time_width)
    inputs = jnp.concatenate([x_BD, time, params["label"][label_B]], -1)
    return mlp.dense(params["out"], mlp.apply(params["torso"], inputs, jax.nn.silu))
