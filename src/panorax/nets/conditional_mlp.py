"""Multi-layer perceptron of an array and a class.

It is the generator and the discriminator of a small GAN.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core.net import Net, stateless
from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.nets import mlp


@checked
class Config:
    hidden: tuple[Count, ...] = (256, 256)
    """widths of the hidden layers"""
    label_width: Count = 32
    """width of the class embedding"""


def spec(cfg: Config, inputs: int, outputs: int, classes: int):
    """Parameters of the map from `inputs` numbers and one of `classes` labels to `outputs`."""
    table = jax.nn.initializers.normal(1.0)
    return {
        "label": P((classes, cfg.label_width), ("labels", "embed"), table),
        "torso": mlp.spec((inputs + cfg.label_width, *cfg.hidden)),
        "out": mlp.dense_spec(cfg.hidden[-1], outputs, mlp.fan_in(1.0)),
    }


def net(cfg: Config, shape: tuple[int, ...], out: tuple[int, ...], classes: int) -> Net:
    """The network from x (B, *shape) and label (B,) to (B, *out)."""
    declared = spec(cfg, math.prod(shape), math.prod(out), classes)
    return stateless(declared, functools.partial(apply, out=out))


def apply(
    params, x: Float[Array, " B *shape"], label_B: Int[Array, " B"], out: tuple[int, ...]
) -> Float[Array, " B *out"]:
    """An MLP with leaky ReLU (slope 0.2) of the flattened x and the embedding of the label."""
    relu = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
    inputs = jnp.concatenate([x.reshape(len(x), -1), params["label"][label_B]], -1)
    return mlp.dense(params["out"], mlp.apply(params["torso"], inputs, relu)).reshape(-1, *out)
