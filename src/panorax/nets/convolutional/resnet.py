"""Residual network for images (He et al. 2016, arXiv:1512.03385), with torchvision's layers.

A block adds its branch to its input:

    h <- relu(skip(h) + branch(h))

Batch normalisation follows each convolution of the branch; a relu then follows, except at the end:

    basic:       3x3 (stride), 3x3            W channels after each
    bottleneck:  1x1, 3x3 (stride), 1x1       W, W and 4 W channels; the stride as in ResNet v1.5

Each stage after the first stage halves the grid in its first block. `skip` is the identity, or a
1x1 convolution with batch normalisation if the block changes the grid or the number of channels. A
mean over positions and a linear map follow the last block. Convolutions have no bias; their initial
weights have standard deviation sqrt(2 / fan-out).

The running averages of batch normalisation are the state of the network. With stochastic depth
(Huang et al. 2016, arXiv:1603.09382), training drops the branch of block l = 1 .. L from each image
with probability rate l / L, and divides the kept branches by the probability that they are kept.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core.layout import split_batch
from panorax.core.net import Net, stateful
from panorax.core.ranges import Count, Share, checked
from panorax.core.spec import P
from panorax.nets import mlp
from panorax.ops.batch_norm import Running, batch_norm, batch_norm_evaluation
from panorax.ops.convolution import conv2d

FAN_OUT = jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal")
HEAD = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # as torch's Linear
ZEROS, ONES = jax.nn.initializers.zeros, jax.nn.initializers.ones
EXPANSION = {"basic": 1, "bottleneck": 4}  # ratio of a block's output channels to its width


@checked
class Config:
    block: Literal["basic", "bottleneck"] = "basic"
    """two 3x3 convolutions (basic), or 1x1, 3x3 and 1x1 with 4 W output channels (bottleneck)"""
    widths: tuple[Count, ...] = (64, 128, 256, 512)
    """width of the blocks of each stage [W]"""
    blocks: tuple[Count, ...] = (2, 2, 2, 2)
    """number of blocks of each stage"""
    stem: Literal["imagenet", "small", "strided"] = "small"
    """first layer: 7x7 convolution and 3x3 max pooling of stride 2 each (imagenet), or a 3x3
    convolution of stride 1 (small) or 2 (strided)"""
    zero_branches: bool = False
    """zero initial scale of each branch's last batch normalisation, so that branches start as 0"""
    stochastic_depth: Share = 0.0
    """probability, below 1, that training drops the last branch for an image; earlier branches are
    dropped less often"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """dtype of the activations; parameters and statistics are float32"""

    def __post_init__(self):
        if not self.widths or len(self.blocks) != len(self.widths):
            message = f"net.blocks {self.blocks} must have one entry for each stage of net.widths"
            raise ValueError(f"{message} {self.widths}")
        if self.stochastic_depth == 1:
            raise ValueError(
                "net.stochastic-depth must be below 1, or the last branch never trains"
            )


class Layer(NamedTuple):
    """A convolution with a square kernel, and the batch normalisation after it."""

    kernel: int
    inputs: int
    outputs: int
    stride: int = 1


class Block(NamedTuple):
    """The convolutions of a block; `skip` is None for the identity."""

    branch: tuple[Layer, ...]
    skip: Layer | None


def stem(cfg: Config, channels: int) -> Layer:
    """The first convolution, for images with `channels` channels."""
    kernel, stride = {"imagenet": (7, 2), "small": (3, 1), "strided": (3, 2)}[cfg.stem]
    return Layer(kernel, channels, cfg.widths[0], stride)


def stages(cfg: Config) -> list[list[Block]]:
    """The blocks of each stage. All blocks of a stage after its first block are equal."""
    inputs, blocks = cfg.widths[0], []
    for i, (width, n) in enumerate(zip(cfg.widths, cfg.blocks, strict=True)):
        blocks.append([])
        for stride in (1 if i == 0 else 2, *(1,) * (n - 1)):
            blocks[-1].append(_block(cfg.block, inputs, width, stride))
            inputs = width * EXPANSION[cfg.block]
    return blocks


def _block(kind, inputs, width, stride):
    outputs = width * EXPANSION[kind]
    skip = Layer(1, inputs, outputs, stride) if stride > 1 or inputs != outputs else None
    if kind == "basic":
        return Block((Layer(3, inputs, width, stride), Layer(3, width, width)), skip)
    middle = Layer(3, width, width, stride)
    return Block((Layer(1, inputs, width), middle, Layer(1, width, outputs)), skip)


def spec(cfg: Config, shape: tuple[int, int, int], classes: int):
    """Parameters for images of `shape` (Y, X, C) and `classes` labels.

    All blocks of a stage after its first block are stacked.
    """
    scale = ZEROS if cfg.zero_branches else ONES

    def block(layers: Block):
        *leading, last = layers.branch
        tree = {"branch": (*map(_layer_spec, leading), _layer_spec(last, scale))}
        return tree | ({"skip": _layer_spec(layers.skip)} if layers.skip else {})

    outputs = cfg.widths[-1] * EXPANSION[cfg.block]
    return {
        "stem": _layer_spec(stem(cfg, shape[2])),
        "stages": _stages(cfg, block),
        "head": mlp.dense_spec(outputs, classes, HEAD),
    }


def state(cfg: Config, shape: tuple[int, int, int]):
    """Running averages of each batch normalisation, in the tree of `spec`."""

    def block(layers: Block):
        tree = {"branch": tuple(map(_layer_state, layers.branch))}
        return tree | ({"skip": _layer_state(layers.skip)} if layers.skip else {})

    return {"stem": _layer_state(stem(cfg, shape[2])), "stages": _stages(cfg, block)}


def _stages(cfg, block):
    """For each stage, the tree of its "first" block and, if it has more, of the stacked "rest"."""
    return tuple(
        {"first": block(first)}
        | ({"rest": core_spec.stack(block(rest[0]), len(rest))} if rest else {})
        for first, *rest in stages(cfg)
    )


def _layer_spec(layer, scale=ONES):
    shape = (layer.kernel, layer.kernel, layer.inputs, layer.outputs)
    return {
        "w": P(shape, ("y", "x", "inputs", "outputs"), FAN_OUT),
        "scale": P((layer.outputs,), ("outputs",), scale),
        "bias": P((layer.outputs,), ("outputs",), ZEROS),
    }


def _layer_state(layer):
    declared = functools.partial(P, (layer.outputs,), ("outputs",))
    return Running(declared(ZEROS), declared(ONES))


def net(cfg: Config, shape: tuple[int, int, int], classes: int) -> Net:
    """The network: maps images of `shape` (Y, X, C) to logits of `classes`."""
    return stateful(spec(cfg, shape, classes), state(cfg, shape), functools.partial(apply, cfg=cfg))


def apply(
    params,
    extra,
    x_BYXC: Float[Array, "B Y X C"],
    cfg: Config,
    key: Array | None = None,
    train: bool = False,
) -> tuple[Float[Array, "B V"], Any]:
    """Returns float32 logits and the running averages, which change only if `train` is true.

    key: key of stochastic depth, used in training only.
    """
    norm = batch_norm if train else _evaluated
    factors_LB = branch_factors(key, cfg, len(x_BYXC)) if train and cfg.stochastic_depth else None
    first = stem(cfg, x_BYXC.shape[-1])
    h_BYXC, after_stem = _layer(
        params["stem"], extra["stem"], first, x_BYXC.astype(cfg.dtype), norm
    )
    h_BYXC = jax.nn.relu(h_BYXC)
    if cfg.stem == "imagenet":
        h_BYXC = max_pool(h_BYXC)
    after, l = [], 0
    for stage, running, layers in zip(params["stages"], extra["stages"], stages(cfg), strict=True):
        factors = jax.tree.map(lambda f: f[l : l + len(layers)], factors_LB)
        h_BYXC, after_stage = _stage(stage, running, layers, h_BYXC, factors, norm)
        after, l = [*after, after_stage], l + len(layers)
    logits_BV = mlp.dense(params["head"], jnp.mean(h_BYXC.astype(jnp.float32), (1, 2)))
    return logits_BV, {"stem": after_stem, "stages": tuple(after)}


def branch_factors(key: Array, cfg: Config, n: int) -> Float[Array, "L {n}"]:
    """Factor of each branch for each of `n` images: 0 if dropped, else 1 / P(kept)."""
    L = sum(cfg.blocks)
    keep_L1 = 1 - cfg.stochastic_depth * jnp.arange(1, L + 1)[:, None] / L
    return jax.random.bernoulli(key, keep_L1, (L, n)) / keep_L1


def max_pool(x_BYXC: Float[Array, "B Y X C"]) -> Float[Array, "B Y2 X2 C"]:
    """Largest value of each 3x3 neighbourhood, at every second position."""
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    return jax.lax.reduce_window(x_BYXC, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)


def _stage(params, running, layers: list[Block], h_BYXC, factors_LB, norm):
    """Runs the first block, then scans the others. `factors_LB` is None if no branch is dropped."""
    at = lambda i: jax.tree.map(lambda f: f[i], factors_LB)
    h_BYXC, first = _residual(params["first"], running["first"], layers[0], h_BYXC, at(0), norm)
    if len(layers) == 1:
        return h_BYXC, {"first": first}

    def body(h_BYXC, block):
        weights, statistics, factor_B = block
        return _residual(weights, statistics, layers[1], h_BYXC, factor_B, norm)

    h_BYXC, rest = jax.lax.scan(body, h_BYXC, (params["rest"], running["rest"], at(slice(1, None))))
    return h_BYXC, {"first": first, "rest": rest}


def _residual(params, running, layers: Block, h_BYXC, factor_B, norm):
    branch, after = h_BYXC, {"branch": ()}
    for i, layer in enumerate(layers.branch):
        branch = jax.nn.relu(branch) if i > 0 else branch
        branch, statistics = _layer(params["branch"][i], running["branch"][i], layer, branch, norm)
        after["branch"] += (statistics,)
    if layers.skip:
        h_BYXC, after["skip"] = _layer(params["skip"], running["skip"], layers.skip, h_BYXC, norm)
    if factor_B is not None:
        branch = branch * factor_B[:, None, None, None].astype(branch.dtype)
    return split_batch(jax.nn.relu(h_BYXC + branch)), after


def _layer(params, running, layer: Layer, h_BYXC, norm):
    margin = layer.kernel // 2
    h_BYXC = conv2d(h_BYXC, params["w"].astype(h_BYXC.dtype), layer.stride, ((margin, margin),) * 2)
    return norm(h_BYXC, params["scale"], params["bias"], running)


def _evaluated(h_BYXC, scale, bias, running):
    return batch_norm_evaluation(h_BYXC, scale, bias, running), running
