"""Parameters of `panorax.nets.unet` as a state dict of diffusers' `UNet2DModel`, and back.

The matrices of diffusers are (out, in), its kernels (out, in, Y, X).
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.nets import unet

TOP = {
    "in": "conv_in",
    "down": "down_blocks",
    "middle": "mid_block",
    "up": "up_blocks",
    "norm": "conv_norm_out",
    "out": "conv_out",
}
RESAMPLE = {"down": "downsamplers.0.conv", "up": "upsamplers.0.conv"}
INNER = {
    "blocks": "resnets",
    "attention": "attentions",
    "time": "time_emb_proj",
    "skip": "conv_shortcut",
    "norm": "group_norm",
    "o": "to_out.0",
}
LEAF = {"w": "weight", "b": "bias", "scale": "weight", "bias": "bias"}


def to_diffusers(params) -> dict[str, np.ndarray]:
    """The state dict of `UNet2DModel(**arguments(cfg, ...))`, as numpy arrays."""
    arrays = {}
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        names = _names(path)
        parts = np.split(np.asarray(x), len(names), -1)
        arrays |= {
            name: np.ascontiguousarray(_theirs(name, part))
            for name, part in zip(names, parts, strict=True)
        }
    return arrays


def from_diffusers(arrays: dict, cfg: unet.Config):
    """Our parameters from a state dict of numpy or JAX arrays.

    Raises UserError that names the array if one is missing, unknown, or of another shape.
    """
    left = dict(arrays)

    def take(name):
        if name not in left:
            raise UserError(f"{name} is missing: these are not the weights of {cfg}")
        return left.pop(name)

    def place(path, p):
        x = jnp.concatenate([_ours(name, take(name)) for name in _names(path)], -1)
        if x.shape != p.shape:
            names = " + ".join(_names(path))
            raise UserError(f"{names} must have the shape {p.shape}, got {x.shape}, in {cfg}")
        return x

    side = 2 ** (len(cfg.channels) - 1)
    size = lambda name, axis: arrays[name].shape[axis] if name in arrays else 1
    channels, classes = size("conv_in.weight", 1), size("class_embedding.weight", 0)
    declared = unet.spec(cfg, (side, side, channels), classes)
    params = jax.tree_util.tree_map_with_path(
        place, declared, is_leaf=lambda x: isinstance(x, core_spec.P)
    )
    if left:
        raise UserError(f"unknown weights for {cfg}: {', '.join(sorted(left))}")
    return params


def arguments(cfg: unet.Config, shape: tuple[int, ...], classes: int) -> dict:
    """Arguments of the `UNet2DModel` that computes this network, with timestep = 1000 * time.
    shape: (Y, X, C) of an image.  classes: number of labels, "no label" included.
    """
    kinds = [("Attn" if attends else "") for attends in cfg.attention]
    return {
        "sample_size": tuple(shape[:2]),
        "in_channels": shape[2],
        "out_channels": shape[2],
        "block_out_channels": cfg.channels,
        "down_block_types": tuple(f"{kind}DownBlock2D" for kind in kinds),
        "up_block_types": tuple(f"{kind}UpBlock2D" for kind in kinds[::-1]),
        "layers_per_block": cfg.blocks,
        "attention_head_dim": cfg.head_dim,
        "norm_num_groups": cfg.groups,
        "norm_eps": unet.EPSILON,
        "num_class_embeds": classes,
    }


def _names(path) -> list[str]:
    """Their names of our parameter at `path`: three for a joint qkv parameter, otherwise one."""
    top, *inner = [getattr(key, "key", getattr(key, "idx", None)) for key in path]
    if top == "label":
        return ["class_embedding.weight"]
    if top == "time":
        return [f"time_embedding.linear_{inner[0] + 1}.{LEAF[inner[1]]}"]
    *inner, leaf = inner
    words = [RESAMPLE[top] if word == "resample" else str(INNER.get(word, word)) for word in inner]
    name = ".".join([TOP[top], *words, LEAF[leaf]])
    return [name.replace("qkv", f"to_{part}") for part in "qkv"] if "qkv" in words else [name]


def _theirs(name, x):
    """Their array from ours."""
    if x.ndim == 4:
        return x.transpose(3, 2, 0, 1)
    if x.ndim == 1 or name.startswith("class_embedding"):
        return x
    return x.T[:, :, None, None] if "conv_shortcut" in name else x.T


def _ours(name, x):
    """Our array from theirs."""
    if "conv_shortcut" in name and x.ndim == 4:
        return x[:, :, 0, 0].T
    if x.ndim == 4:
        return x.transpose(2, 3, 1, 0)
    return x if x.ndim == 1 or name.startswith("class_embedding") else x.T
