"""Small convolutional network for images: strided 3x3 convolutions, then a mean over positions.

Source: LeCun et al. 1998.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core.net import Net, stateless
from panorax.core.ranges import Count, checked
from panorax.core.spec import Initializer, P
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.convolution import conv2d


@checked
class Config:
    channels: tuple[Count, ...] = (32, 64, 64)
    """channels after each convolution"""

    def __post_init__(self):
        if not self.channels:
            raise ValueError("net.channels must not be empty")


def conv_spec(
    inputs: int, outputs: int, width: int = 3, init: Initializer = fan_in(2**0.5)
) -> dict[str, P]:
    """Parameters of a convolution with a square kernel.

    w (width, width, inputs, outputs) is drawn by `init`; b (outputs,) is zero.
    """
    w = P((width, width, inputs, outputs), ("y", "x", "inputs", "outputs"), init)
    return {"w": w, "b": P((outputs,), ("outputs",), jax.nn.initializers.zeros)}


def conv(
    params,
    x: Float[Array, "B Y X I"],
    stride: int = 1,
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME",
) -> Float[Array, "B Y2 X2 O"]:
    """`conv2d` (a cross-correlation) with `stride` and `padding`, plus the bias."""
    return conv2d(x, params["w"], stride, padding) + params["b"][None, None, None]


def spec(channels: tuple[int, ...]) -> tuple[dict[str, P], ...]:
    """Parameters of the len(channels) - 1 convolutions between consecutive channel counts."""
    return tuple(conv_spec(i, o) for i, o in zip(channels[:-1], channels[1:], strict=True))


def apply(params, x: Float[Array, "B Y X I"]) -> Float[Array, "B O"]:
    """Applies relu(conv(x)) for each convolution, then the mean over positions.

    Every convolution except the first has stride 2.
    """
    for i, layer in enumerate(params):
        x = jax.nn.relu(conv(layer, x, stride=1 + (i > 0)))
    return jnp.mean(x, (1, 2))


def net(cfg: Config, shape: tuple[int, ...], classes: int) -> Net:
    """The network with a linear head: maps images of `shape` (Y, X, C) to logits of `classes`."""
    head = dense_spec(cfg.channels[-1], classes, fan_in(1.0))
    declared = {"torso": spec((shape[-1], *cfg.channels)), "head": head}
    return stateless(declared, lambda params, x: dense(params["head"], apply(params["torso"], x)))
