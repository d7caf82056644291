"""Weights of Hugging Face folders as parameters of our decoders, and back.

Hugging Face matrices are (out, in), one tensor per layer; ours are (in, heads, ...), stacked along
the layers. `table` gives the names and the order of axes of each parameter, in the letters of
CONVENTIONS.md: `HK D -> DHK` reads a matrix of H K rows and D columns as (D, H, K).
Each device reads its part of one tensor after another and writes it into the stack in place. The
host holds one tensor at a time.
"""

import functools
import itertools
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core import spec as core_spec
from panorax.interop.hf_tensors import INDEX, SINGLE, Folder
from panorax.nets.decoders import decoder
from panorax.parallel.sharding import make_mesh, parameter_shardings

TOP = {
    "embed": ("model.embed_tokens.weight", "V D -> VD"),
    "norm": ("model.norm.weight", "D -> D"),
    "head": ("lm_head.weight", "V D -> DV"),
}
LAYER = {
    "attn_norm": ("input_layernorm.weight", "D -> D"),
    "q": ("self_attn.q_proj.weight", "HK D -> DHK"),
    "k": ("self_attn.k_proj.weight", "GK D -> DGK"),
    "v": ("self_attn.v_proj.weight", "GK D -> DGK"),
    "o": ("self_attn.o_proj.weight", "D HK -> HKD"),
    "q_bias": ("self_attn.q_proj.bias", "N -> N"),
    "k_bias": ("self_attn.k_proj.bias", "N -> N"),
    "v_bias": ("self_attn.v_proj.bias", "N -> N"),
    "q_norm": ("self_attn.q_norm.weight", "K -> K"),
    "k_norm": ("self_attn.k_norm.weight", "K -> K"),
    "mlp_norm": ("post_attention_layernorm.weight", "D -> D"),
    "gate": ("mlp.gate_proj.weight", "F D -> DF"),
    "up": ("mlp.up_proj.weight", "F D -> DF"),
    "down": ("mlp.down_proj.weight", "D F -> FD"),
}
WITH_POST_NORMS = {
    "attn_post_norm": ("post_attention_layernorm.weight", "D -> D"),
    "mlp_norm": ("pre_feedforward_layernorm.weight", "D -> D"),
    "mlp_post_norm": ("post_feedforward_layernorm.weight", "D -> D"),
}
SHARD_BYTES = 5_000_000_000


def table(cfg) -> dict[str, list[tuple[str, str]]]:
    """The Hugging Face (name, axes) of each of our parameters, one pair per layer.

    A parameter `q` of the layers is named `layers/q`.
    """
    spec = decoder.spec(cfg)
    layer = LAYER | (WITH_POST_NORMS if "attn_post_norm" in spec["layers"] else {})
    stacked = {
        f"layers/{ours}": [
            (f"model.layers.{l}.{layer[ours][0]}", layer[ours][1]) for l in range(cfg.n_layers)
        ]
        for ours in spec["layers"]
    }
    return {ours: [TOP[ours]] for ours in spec if ours != "layers"} | stacked


def load(directory: str | Path, cfg, shardings=None, dtype=None):
    """Parameters of the model `cfg` from a folder.

    shardings: a tree of NamedSharding; None for one device.
    dtype: dtype of all parameters; None keeps the stored dtypes.
    All names and shapes are checked before a tensor is read. Raises UserError that names the tensor
    or file if one is missing, damaged, unknown, or of another shape.
    """
    shardings = shardings or parameter_shardings(decoder.spec(cfg), make_mesh())
    folder, names = Folder(Path(directory)), table(cfg)
    declared = _flat(decoder.spec(cfg), is_leaf=lambda x: isinstance(x, core_spec.P))
    for ours, tensors in names.items():
        shape = declared[ours].shape[1:] if ours.startswith("layers/") else declared[ours].shape
        for name, axes in tensors:
            folder.check(name, _their_shape(shape, axes))
    used = {name for tensors in names.values() for name, _ in tensors}
    folder.check_nothing_else(used, ignored="lm_head.weight" if cfg.tied else None)
    placed = _flat(shardings)
    params = {
        ours: _fill(folder, names[ours], declared[ours].shape, placed[ours], dtype)
        for ours in names
    }
    layers = {
        ours.removeprefix("layers/"): x for ours, x in params.items() if ours.startswith("layers/")
    }
    return {ours: x for ours, x in params.items() if "/" not in ours} | {"layers": layers}


class Tensor(NamedTuple):
    """A Hugging Face tensor to be written."""

    name: str
    """Hugging Face name"""
    axes: str
    """order of the axes, as in `table`"""
    ours: str
    """path of our parameter"""
    layer: int
    """layer of our parameter, 0 if it is not stacked"""
    size: int
    """size of the tensor in bytes"""


def save(directory: Path, params, cfg, dtype=None, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes the parameters as safetensors under their Hugging Face names.

    dtype: dtype of the stored weights; None keeps the dtypes of `params`.
    shard_bytes: largest file in bytes; more weights are split into several files with an index, and
        a larger tensor has a file of its own.
    """
    flat = _flat(params)
    shards = _shards(flat, cfg, dtype, shard_bytes)
    n = len(shards)
    files = [f"model-{i + 1:05}-of-{n:05}.safetensors" for i in range(n)]
    files = [SINGLE] if n == 1 else files
    for file, shard in zip(files, shards):
        _write(directory / file, shard, flat, dtype)
    if n > 1:
        weight_map = {x.name: file for file, shard in zip(files, shards) for x in shard}
        total = sum(x.size for shard in shards for x in shard)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _shards(flat: dict, cfg, dtype, shard_bytes: int) -> list[list[Tensor]]:
    """All tensors in order, split into shards of at most `shard_bytes`."""
    shards, free = [], 0
    for ours, names in table(cfg).items():
        size = flat[ours].size // len(names) * jnp.dtype(dtype or flat[ours].dtype).itemsize
        for l, (name, axes) in enumerate(names):
            if not shards or size > free:
                shards.append([])
                free = shard_bytes
            shards[-1].append(Tensor(name, axes, ours, l, size))
            free -= size
    return shards


def _write(path: Path, shard: list[Tensor], flat: dict, dtype) -> None:
    """Writes one file, which appears under its name when it is complete."""
    from safetensors.numpy import save_file

    arrays = {}
    for x in shard:
        ours = flat[x.ours]
        ours = ours[x.layer] if x.ours.startswith("layers/") else ours
        arrays[x.name] = _theirs(ours, x.axes, dtype)
    part = path.with_name(path.name + ".part")
    save_file(arrays, part, metadata={"format": "pt"})
    part.chmod(0o644)  # the library writes files that only their owner can read
    os.replace(part, path)


def _fill(folder: Folder, tensors: list[tuple[str, str]], shape, sharding: NamedSharding, dtype):
    """One of our parameters, from their tensors of all layers."""
    dtype = dtype or folder.dtype([name for name, _ in tensors])
    stacked = len(shape) > len(tensors[0][1].partition(" -> ")[2])
    if not stacked:
        [(name, axes)] = tensors
        raw = _placed(folder, name, axes, shape, sharding.spec, sharding.mesh)
        return jax.block_until_ready(_arrange(shape, sharding, dtype)(raw, axes))
    whole = jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=sharding)()
    put = _put(shape[1:], sharding)
    for l, (name, axes) in enumerate(tensors):
        raw = _placed(folder, name, axes, shape[1:], sharding.spec[1:], sharding.mesh)
        # block, so that this tensor is freed before the next one is read
        whole = jax.block_until_ready(put(whole, raw, l, axes))
    return whole


def _placed(folder: Folder, name: str, axes: str, shape, spec, mesh) -> jax.Array:
    """Their tensor in their layout, split over devices as `spec` splits our axes."""
    theirs, _, ours = axes.partition(" -> ")
    over = dict(itertools.zip_longest(ours, spec))
    sharding = NamedSharding(mesh, PartitionSpec(*(over[group[0]] for group in theirs.split())))
    whole = _their_shape(shape, axes)
    # devices with the same part share one read of it
    read = functools.cache(lambda *bounds: folder.read(name, bounds))
    return jax.make_array_from_callback(
        whole, sharding, lambda index: read(*(s.indices(n)[:2] for s, n in zip(index, whole)))
    )


@functools.cache
def _arrange(shape, sharding, dtype):
    """A compiled function from their tensor to our parameter."""
    return jax.jit(
        lambda raw, axes: _ours(raw, axes, shape).astype(dtype or raw.dtype),
        static_argnums=1,
        out_shardings=sharding,
    )


@functools.cache
def _put(shape, sharding):
    """A compiled function that writes their tensor into layer l of our stack, in place."""
    put = lambda whole, raw, l, axes: whole.at[l].set(_ours(raw, axes, shape).astype(whole.dtype))
    return jax.jit(put, static_argnums=3, donate_argnums=0, out_shardings=sharding)


def _sizes(shape, axes: str) -> dict[str, int]:
    return dict(zip(axes.partition(" -> ")[2], shape))


def _their_shape(shape, axes: str) -> tuple[int, ...]:
    sizes, theirs = _sizes(shape, axes), axes.partition(" -> ")[0]
    return tuple(math.prod(sizes[a] for a in group) for group in theirs.split())


def _ours(raw, axes: str, shape):
    """Our array from theirs: splits the grouped axes, then transposes."""
    theirs, _, ours = axes.partition(" -> ")
    letters, sizes = theirs.replace(" ", ""), _sizes(shape, axes)
    return raw.reshape([sizes[a] for a in letters]).transpose([letters.index(a) for a in ours])


def _theirs(x: jax.Array, axes: str, dtype) -> np.ndarray:
    """Their array from ours, the inverse of `_ours`."""
    theirs, _, ours = axes.partition(" -> ")
    moved = x.astype(dtype or x.dtype).transpose([ours.index(a) for a in theirs.replace(" ", "")])
    return np.ascontiguousarray(jax.device_get(moved.reshape(_their_shape(x.shape, axes))))


def _flat(tree, **options) -> dict:
    """Leaves by path, such as `layers/q`."""
    return {
        "/".join(k.key for k in path): x
        for path, x in jax.tree_util.tree_leaves_with_path(tree, **options)
    }
