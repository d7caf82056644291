"""A small convolutional network for images (LeCun et al. 1998): convolutions, each followed by a halving of the grid, then a mean over it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core.spec import Initializer, P
from panorax.nets.mlp import fan_in
from panorax.ops.convolution import conv2d


def conv_spec(inputs: int, outputs: int, width: int = 3, init: Initializer = fan_in(2**0.5)) -> dict[str, P]:
    """Parameters of a convolution with a square kernel: w (width, width, inputs, outputs) drawn by `init`, b (outputs,) zero."""
    w = P((width, width, inputs, outputs), (None, None, None, None), init)
    return {"w": w, "b": P((outputs,), (None,), jax.nn.initializers.zeros)}


def conv(params, x: Float[Array, "B Y X I"], stride: int = 1, padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME") -> Float[Array, "B Y2 X2 O"]:
    """Cross-correlation and a bias; padded with zeros so that ceil(Y / stride) x ceil(X / stride) positions remain, or as `padding` says."""
    return conv2d(x, params["w"], stride, padding) + params["b"][None, None, None]


def spec(channels: tuple[int, ...]) -> tuple[dict[str, P], ...]:
    """Parameters of the len(channels) - 1 convolutions between consecutive numbers of channels."""
    return tuple(conv_spec(i, o) for i, o in zip(channels[:-1], channels[1:], strict=True))


def apply(params, x: Float[Array, "B Y X I"]) -> Float[Array, "B O"]:
    """relu(conv(x)) for every convolution, from the second on at every other position; then the mean over positions."""
    for i, layer in enumerate(params):
        x = jax.nn.relu(conv(layer, x, stride=1 + (i > 0)))
    return jnp.mean(x, (1, 2))
