"""The U-Net of denoising diffusion: a velocity or noise field on images.

The downward path runs through levels of ever coarser grids to a middle; the upward path returns.
Each block of the upward path also reads an output of the downward path on its grid. A block is

    h <- skip(h) + conv(silu(norm(conv(silu(norm(h))) + c)))

with a linear map c of the embedded time and class. On some levels, and in the middle,
self-attention over all positions follows. The last convolution of each branch and of the network is
initially zero, so the output starts as 0. Parameters and outputs match diffusers' `UNet2DModel`.
Source: Ho et al. 2020, arXiv:2006.11239, appendix B.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core.layout import split_batch, whole_rows
from panorax.core.net import Net, stateless
from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.nets import mlp
from panorax.nets.convolutional.convnet import conv, conv_spec
from panorax.ops.attention import attention
from panorax.ops.convolution import upsampled_conv2d
from panorax.ops.norms import group_norm
from panorax.ops.positions import sinusoidal

EPSILON = 1e-5


@checked
class Config:
    channels: tuple[Count, ...] = (32, 64)
    """channels of each level, from the finest grid to the coarsest"""
    blocks: Count = 1
    """number of residual blocks of a level on the downward path; the upward path has one more"""
    attention: tuple[bool, ...] = (False, True)
    """switch of each level for self-attention after its blocks; the middle always has attention"""
    head_dim: Count = 16
    """width of an attention head [K]"""
    groups: Count = 8
    """number of channel groups of each group norm"""

    def __post_init__(self):
        channels, attention = f"net.channels {self.channels}", f"net.attention {self.attention}"
        if not self.channels or len(self.attention) != len(self.channels):
            raise ValueError(f"{attention} must have one entry for each level of {channels}")
        if self.channels[0] % 2 or any(C % self.groups for C in self.channels):
            groups = f"net.groups {self.groups}"
            raise ValueError(f"{channels} must be multiples of {groups}, the first of them even")
        levels = zip(self.channels, self.attention, strict=True)
        attending = [C for C, attends in levels if attends] + [self.channels[-1]]
        if any(C % self.head_dim for C in attending):
            head_dim = f"net.head-dim {self.head_dim}"
            raise ValueError(f"{head_dim} must divide the channels {attending} with attention")


def spec(cfg: Config, shape: tuple[int, ...], classes: int):
    """Parameters for images of `shape` (Y, X, C) and `classes` labels.

    The last label may mean "no label". Raises ValueError if a level cannot halve the grid.
    """
    _check_sides(shape, cfg)
    first, coarsest, plain = cfg.channels[0], len(cfg.channels) - 1, mlp.fan_in(1.0)
    width = 4 * first

    def level(inputs, outputs, attends, resample):
        tree = {"blocks": tuple(_residual_spec(I, outputs, width) for I in inputs)}
        if attends:
            tree["attention"] = (_attention_spec(outputs),) * len(inputs)
        if resample:
            tree["resample"] = conv_spec(outputs, outputs, init=plain)
        return tree

    down, up = [], []
    for l, (C, attends) in enumerate(zip(cfg.channels, cfg.attention, strict=True)):
        finer, coarser = cfg.channels[max(l - 1, 0)], cfg.channels[min(l + 1, coarsest)]
        down.append(level((finer, *(C,) * (cfg.blocks - 1)), C, attends, l < coarsest))
        from_below, skipped = (coarser, *(C,) * cfg.blocks), (*(C,) * cfg.blocks, finer)
        inputs = [a + b for a, b in zip(from_below, skipped, strict=True)]
        up.append(level(inputs, C, attends, l > 0))
    C = cfg.channels[-1]
    return {
        "in": conv_spec(shape[2], first, init=plain),
        "time": (mlp.dense_spec(first, width, plain), mlp.dense_spec(width, width, plain)),
        "label": P((classes, width), ("labels", "embed"), jax.nn.initializers.normal(0.02)),
        "down": tuple(down),
        "middle": {
            "blocks": (_residual_spec(C, C, width),) * 2,
            "attention": (_attention_spec(C),),
        },
        "up": tuple(up[::-1]),
        "norm": _norm_spec(first),
        "out": conv_spec(first, shape[2], init=jax.nn.initializers.zeros),
    }


def net(cfg: Config, shape: tuple[int, ...], classes: int) -> Net:
    """The field on images of `shape`: maps (x, t, label) to an array of the shape of x."""
    return stateless(spec(cfg, shape, classes), functools.partial(apply, cfg=cfg))


def apply(
    params,
    x_BYXC: Float[Array, "B Y X C"],
    t_B: Float[Array, " B"],
    label_B: Int[Array, " B"],
    cfg: Config,
) -> Float[Array, "B Y X C"]:
    """The field at x, time t in [0, 1] and class label.

    Raises ValueError if a level cannot halve the grid.
    """
    _check_sides(x_BYXC.shape[1:], cfg)
    c_BD = mlp.dense(params["time"][0], sinusoidal(1000 * t_B, cfg.channels[0]))
    c_BD = jax.nn.silu(
        mlp.dense(params["time"][1], jax.nn.silu(c_BD)) + whole_rows(params["label"])[label_B]
    )
    h_BYXC = split_batch(conv(params["in"], x_BYXC))
    skips = [h_BYXC]
    for level in params["down"]:
        for i in range(cfg.blocks):
            h_BYXC = _block(level, i, h_BYXC, c_BD, cfg)
            skips.append(h_BYXC)
        if "resample" in level:
            h_BYXC = conv(level["resample"], h_BYXC, 2, ((1, 1), (1, 1)))
            skips.append(h_BYXC)
    h_BYXC = _block(params["middle"], 0, h_BYXC, c_BD, cfg)
    h_BYXC = _residual(params["middle"]["blocks"][1], h_BYXC, c_BD, cfg)
    for level in params["up"]:
        for i in range(cfg.blocks + 1):
            h_BYXC = _block(level, i, jnp.concatenate([h_BYXC, skips.pop()], -1), c_BD, cfg)
        if "resample" in level:
            weights = level["resample"]
            h_BYXC = upsampled_conv2d(h_BYXC, weights["w"]) + weights["b"][None, None, None]
    return conv(params["out"], jax.nn.silu(_norm(params["norm"], h_BYXC, cfg)))


def _check_sides(shape, cfg):
    """Raises ValueError unless each level can halve the grid of the level before it."""
    levels, (Y, X) = len(cfg.channels), shape[:2]
    factor = 2 ** (levels - 1)
    if Y % factor or X % factor:
        raise ValueError(
            f"the sides of an image of {Y} x {X} must be multiples of {factor} for {levels} levels"
        )


def _norm_spec(channels):
    return {
        "scale": P((channels,), ("outputs",), jax.nn.initializers.ones),
        "bias": P((channels,), ("outputs",), jax.nn.initializers.zeros),
    }


def _residual_spec(inputs, outputs, width):
    skip = {"skip": mlp.dense_spec(inputs, outputs, mlp.fan_in(1.0))} if inputs != outputs else {}
    return skip | {
        "norm1": _norm_spec(inputs),
        "conv1": conv_spec(inputs, outputs),
        "time": mlp.dense_spec(width, outputs, mlp.fan_in(1.0)),
        "norm2": _norm_spec(outputs),
        "conv2": conv_spec(outputs, outputs, init=jax.nn.initializers.zeros),
    }


def _attention_spec(C):
    return {
        "norm": _norm_spec(C),
        "qkv": mlp.dense_spec(C, 3 * C, mlp.fan_in(1.0)),
        "o": mlp.dense_spec(C, C, jax.nn.initializers.zeros),
    }


def _norm(params, h_BYXC, cfg):
    return group_norm(h_BYXC, params["scale"], params["bias"], cfg.groups, EPSILON)


def _block(level, i, h_BYXC, c_BD, cfg):
    """Residual block i of a level, followed by its attention if the level has any."""
    h_BYXC = _residual(level["blocks"][i], h_BYXC, c_BD, cfg)
    if "attention" in level:
        h_BYXC = _attend(level["attention"][i], h_BYXC, cfg)
    return split_batch(h_BYXC)


def _residual(params, h_BYXC, c_BD, cfg):
    inner = conv(params["conv1"], jax.nn.silu(_norm(params["norm1"], h_BYXC, cfg)))
    inner = inner + mlp.dense(params["time"], c_BD)[:, None, None]
    inner = conv(params["conv2"], jax.nn.silu(_norm(params["norm2"], inner, cfg)))
    return inner + (mlp.dense(params["skip"], h_BYXC) if "skip" in params else h_BYXC)


def _attend(params, h_BYXC, cfg):
    B, Y, X, C = h_BYXC.shape
    qkv = mlp.dense(params["qkv"], _norm(params["norm"], h_BYXC, cfg))
    heads = qkv.reshape(B, Y * X, 3, C // cfg.head_dim, cfg.head_dim)
    full_mask = jnp.ones((1, Y * X, Y * X), bool)
    values = attention(*jnp.moveaxis(heads, 2, 0), full_mask)
    return h_BYXC + mlp.dense(params["o"], values.reshape(h_BYXC.shape))
