"""Diffusion Transformer with adaLN-Zero: a velocity or noise field on images.

Each patch of the image is a token with a fixed sinusoidal position. Time and class are embedded in
one vector c. Each branch f of a block (attention, feed-forward) is modulated by linear maps of c:

    x <- x + g(c) f(norm(x) (1 + s(c)) + b(c))

The maps from c are initially zero, so each block starts as the identity and the output as 0.
Source: Peebles & Xie 2023, arXiv:2212.09748, section 3.2.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.layout import split_batch, whole_rows
from panorax.core.net import Net, stateless
from panorax.core.ranges import ConfigError, Count, checked
from panorax.core.spec import P
from panorax.nets import mlp
from panorax.ops.attention import attention
from panorax.ops.dot import dot
from panorax.ops.norms import layer_norm
from panorax.ops.positions import sinusoidal


@checked
class Config:
    patch: Count = 2
    """side of a patch in pixels; a divisor of the image's sides"""
    d_model: Count = 96
    """width of the residual stream, a multiple of 4 and of n_heads [D]"""
    n_layers: Count = 4
    """number of blocks [L]"""
    n_heads: Count = 4
    """number of attention heads [H]"""
    d_ff: Count = 384
    """hidden width of the feed-forward branch [F]"""

    def __post_init__(self):
        if self.d_model % 4 or self.d_model % self.n_heads:
            divisors = f"4 and of net.n-heads {self.n_heads}"
            raise ValueError(f"net.d-model {self.d_model} must be a multiple of {divisors}")


def spec(cfg: Config, shape: tuple[int, ...], classes: int):
    """Parameters for images of `shape` (Y, X, C) and `classes` labels.

    The last label may mean "no label".
    """
    D, F, H, zeros = cfg.d_model, cfg.d_ff, cfg.n_heads, jax.nn.initializers.zeros
    pixels = cfg.patch**2 * shape[2]
    normal = jax.nn.initializers.normal(D**-0.5)
    block = {
        "qkv": P((D, 3, H, D // H), ("embed", "qkv", "heads", "head_dim"), normal, outputs=3),
        "o": P((H, D // H, D), ("heads", "head_dim", "embed"), normal),
        "up": P((D, F), ("embed", "mlp"), normal),
        "down": P((F, D), ("mlp", "embed"), jax.nn.initializers.normal(F**-0.5)),
        "modulation": P((D, 6, D), ("embed", "branches", "outputs"), zeros, outputs=2),
    }
    return {
        "patch": mlp.dense_spec(pixels, D, mlp.fan_in(1.0)),
        "time": (mlp.dense_spec(D, D, mlp.fan_in(1.0)), mlp.dense_spec(D, D, mlp.fan_in(1.0))),
        "label": P((classes, D), ("labels", "embed"), jax.nn.initializers.normal(0.02)),
        "blocks": core_spec.stack(block, cfg.n_layers),
        "modulation": P((D, 2, D), ("embed", "branches", "outputs"), zeros, outputs=2),
        "out": mlp.dense_spec(D, pixels, zeros),
    }


def net(cfg: Config, shape: tuple[int, ...], classes: int) -> Net:
    """The field on images of `shape`: maps (x, t, label) to an array of the shape of x.

    Raises ConfigError if the patch does not divide the image.
    """
    Y, X, _ = shape
    if Y % cfg.patch or X % cfg.patch:
        raise ConfigError(f"net.patch must divide the images of {Y} x {X}, got {cfg.patch}")
    return stateless(spec(cfg, shape, classes), functools.partial(apply, cfg=cfg))


def apply(
    params,
    x_BYXC: Float[Array, "B Y X C"],
    t_B: Float[Array, " B"],
    label_B: Int[Array, " B"],
    cfg: Config,
) -> Float[Array, "B Y X C"]:
    """The field at x, time t in [0, 1] and class label.

    Raises ValueError if the patch does not divide the image.
    """
    tokens_BND, grid = patchify(x_BYXC, cfg.patch)
    h_BND = split_batch(
        mlp.dense(params["patch"], tokens_BND) + _positions(grid, cfg.d_model)[None]
    )
    c_BD = mlp.dense(params["time"][0], sinusoidal(1000 * t_B, cfg.d_model))
    c_BD = jax.nn.silu(
        mlp.dense(params["time"][1], jax.nn.silu(c_BD)) + whole_rows(params["label"])[label_B]
    )
    full_mask = jnp.ones((1, h_BND.shape[1], h_BND.shape[1]), bool)

    def block(h_BND, layer):
        shift, scale, gate, shift_ff, scale_ff, gate_ff = _modulation(c_BD, layer["modulation"])
        q, k, v = jnp.moveaxis(dot(_norm(h_BND) * (1 + scale) + shift, layer["qkv"]), 2, 0)
        h_BND = h_BND + gate * dot(attention(q, k, v, full_mask), layer["o"], 2)
        inner = jax.nn.gelu(dot(_norm(h_BND) * (1 + scale_ff) + shift_ff, layer["up"]))
        return split_batch(h_BND + gate_ff * dot(inner, layer["down"])), None

    h_BND, _ = jax.lax.scan(block, h_BND, params["blocks"])
    shift, scale = _modulation(c_BD, params["modulation"])
    return unpatchify(mlp.dense(params["out"], _norm(h_BND) * (1 + scale) + shift), grid, cfg.patch)


def patchify(
    x_BYXC: Float[Array, "B Y X C"], patch: int
) -> tuple[Float[Array, "B N P"], tuple[int, int]]:
    """Returns the patches as tokens, row by row, and the shape of their grid.

    Raises ValueError if the patch does not divide the image.
    """
    B, Y, X, C = x_BYXC.shape
    if Y % patch or X % patch:
        raise ValueError(f"patches of {patch} do not tile an image of {Y} x {X}")
    grid = (Y // patch, X // patch)
    split = x_BYXC.reshape(B, grid[0], patch, grid[1], patch, C).swapaxes(2, 3)
    return split.reshape(B, grid[0] * grid[1], -1), grid


def unpatchify(
    tokens_BNP: Float[Array, "B N P"], grid: tuple[int, int], patch: int
) -> Float[Array, "B Y X C"]:
    """Inverse of `patchify`."""
    B = tokens_BNP.shape[0]
    split = tokens_BNP.reshape(B, *grid, patch, patch, -1).swapaxes(2, 3)
    return split.reshape(B, grid[0] * patch, grid[1] * patch, -1)


def _positions(grid, width):
    """Sinusoidal features of the row (first half) and of the column (second half)."""
    y, x = jnp.meshgrid(jnp.arange(grid[0]), jnp.arange(grid[1]), indexing="ij")
    features = [sinusoidal(index.ravel(), width // 2) for index in (y, x)]
    return jnp.concatenate(features, -1)


def _modulation(c_BD, w_DZD):
    return jnp.moveaxis(dot(c_BD, w_DZD), 1, 0)[:, :, None]


def _norm(h_BND):
    width = h_BND.shape[-1]
    return layer_norm(h_BND, jnp.ones(width), jnp.zeros(width), 1e-6)
