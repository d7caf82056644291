"""Torso for small images such as MinAtar's: a 3 x 3 convolution, then a dense layer.

The convolution is a matrix product with the patches of an image: on a CPU, a product is several
times faster for few channels, and it stays one product when seeds are vmapped.

Source: Young & Tian 2019, arXiv:1903.03176, section 4.
"""

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, checked
from panorax.nets.convolutional.convnet import conv_spec
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl.torsos.torso import Torso, norm_spec, normalized


@checked
class Config:
    """A convolution without padding, a dense layer, and relu after both."""

    channels: Count = 16
    """channels of the convolution"""
    hidden: Count = 128
    """width of the dense layer"""
    layer_norm: bool = False
    """layer normalisation before both nonlinearities, over channels and over features"""


def torso(cfg: Config, shape: tuple[int, ...]) -> Torso:
    """The torso for images of `shape` (Y, X, C). Raises ValueError for other shapes."""
    if len(shape) != 3 or min(shape[:2]) < 3:
        raise ValueError(f"conv needs views (Y, X, C) of at least 3 x 3 pixels, not {shape}")
    Y, X, C = shape
    flat = (Y - 2) * (X - 2) * cfg.channels
    spec = {
        "conv": conv_spec(C, cfg.channels),
        "dense": dense_spec(flat, cfg.hidden, fan_in(2**0.5)),
    }
    if cfg.layer_norm:
        for layer, width in (("conv", cfg.channels), ("dense", cfg.hidden)):
            spec[layer]["norm"] = norm_spec(width)

    def apply(params, view):
        patches = jnp.concatenate(
            [view[..., y : y + Y - 2, x : x + X - 2, :] for y in range(3) for x in range(3)], -1
        )
        kernel = {"w": params["conv"]["w"].reshape(9 * C, -1), "b": params["conv"]["b"]}
        x = jax.nn.relu(normalized(params["conv"], dense(kernel, patches)))
        x = x.reshape(*view.shape[:-3], flat)
        return jax.nn.relu(normalized(params["dense"], dense(params["dense"], x)))

    return Torso(spec, apply, cfg.hidden)
