"""Torso of residual 3 x 3 convolutions for boards, then a dense layer.

    h <- relu(norm(conv(view)))
    h <- h + conv(relu(norm(conv(relu(norm(h))))))        for each block
    features = relu(dense(flattened h))

Layer normalisation over channels takes the place of batch normalisation, so that the network has no
state. Source: He et al. 2016, arXiv:1603.05027; Silver et al. 2017 (doi:10.1038/nature24270).
"""

import math

import jax

from panorax.core.ranges import Count, Whole, checked
from panorax.nets.convolutional.convnet import conv, conv_spec
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl.torsos.torso import Torso, norm_spec, normalized


@checked
class Config:
    """A convolution, residual blocks of two convolutions, and a dense layer."""

    channels: Count = 32
    """channels of every convolution"""
    blocks: Whole = 1
    """residual blocks"""
    hidden: Count = 128
    """width of the dense layer"""


def torso(cfg: Config, shape: tuple[int, ...]) -> Torso:
    """The torso for boards of `shape` (Y, X, C). Raises ValueError for other shapes."""
    if len(shape) != 3:
        raise ValueError(f"residual needs views (Y, X, C), not {shape}")
    Y, X, C = shape
    W, flat = cfg.channels, Y * X * cfg.channels
    layer = lambda inputs, width, gain: (
        conv_spec(inputs, W, init=fan_in(gain)) | {"norm": norm_spec(width)}
    )
    spec = {
        "stem": layer(C, W, 2**0.5),
        "blocks": tuple((layer(W, W, 2**0.5), layer(W, W, 0.5)) for _ in range(cfg.blocks)),
        "dense": dense_spec(flat, cfg.hidden, fan_in(2**0.5)),
    }

    def apply(params, view):
        batch = view.shape[:-3]
        h = conv(params["stem"], view.reshape(math.prod(batch), *shape))
        h = jax.nn.relu(normalized(params["stem"], h))
        for first, second in params["blocks"]:
            branch = conv(first, jax.nn.relu(normalized(first, h)))
            h = h + conv(second, jax.nn.relu(normalized(second, branch)))
        return jax.nn.relu(dense(params["dense"], h.reshape(*batch, flat)))

    return Torso(spec, apply, cfg.hidden)
