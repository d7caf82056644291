"""Torso of dense layers, for views of any shape."""

import math
from typing import Literal

import jax

from panorax.core.ranges import Count, checked
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl.torsos.torso import Torso, norm_spec, normalized


@checked
class Config:
    """Dense layers, the first over the flattened view."""

    hidden: tuple[Count, ...] = (128, 128)
    """widths of the layers"""
    layer_norm: bool = False
    """layer normalisation between the affine map and the nonlinearity"""
    activation: Literal["relu", "tanh", "silu"] = "relu"
    """nonlinearity of every layer"""

    def __post_init__(self):
        if not self.hidden:
            raise ValueError("a torso needs at least one hidden layer")


def torso(cfg: Config, shape: tuple[int, ...]) -> Torso:
    """The torso for views of `shape`."""
    sizes = (math.prod(shape), *cfg.hidden)
    spec = tuple(
        dense_spec(inputs, outputs, fan_in(2**0.5))
        | ({"norm": norm_spec(outputs)} if cfg.layer_norm else {})
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True)
    )
    activation = getattr(jax.nn, cfg.activation)

    def apply(params, view):
        x = view.reshape(*view.shape[: view.ndim - len(shape)], -1)
        for layer in params:
            x = activation(normalized(layer, dense(layer, x)))
        return x

    return Torso(spec, apply, sizes[-1])
