"""Weights of Hugging Face folders (safetensors, one file or shards with an index) as our parameters, and back. Nothing is unpickled.

Their matrices are (out, in), a layer each; ours are (in, heads, ...) and stacked along the layers. A table says for each of our parameters
their name and how the axes go, in the letters of CONVENTIONS.md: `HK D -> DHK` is a matrix of H K rows and D columns that becomes (D, H, K).
Every tensor is read when its turn comes, by each device the part it keeps, and put into its place in the stack on the device: the host holds
one tensor at a time.
"""

import itertools
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.nets import decoder

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
DTYPES = {"F64": jnp.float64, "F32": jnp.float32, "F16": jnp.float16, "BF16": jnp.bfloat16}
SHARD_BYTES = 5_000_000_000


def table(cfg) -> dict[str, list[tuple[str, str]]]:
    """For each of our parameters (a layer's as `layers/q`) the names of their tensors, one a layer, and the way of the axes."""
    spec = decoder.spec(cfg)
    layer = LAYER | (WITH_POST_NORMS if "attn_post_norm" in spec["layers"] else {})
    stacked = {f"layers/{ours}": [(f"model.layers.{l}.{layer[ours][0]}", layer[ours][1]) for l in range(cfg.n_layers)] for ours in spec["layers"]}
    return {ours: [TOP[ours]] for ours in spec if ours != "layers"} | stacked


def load(directory: Path, cfg, shardings, dtype=None):
    """The parameters of the model `cfg` from a folder, placed as `shardings` says (a tree of NamedSharding), in `dtype` or that of the file.

    Every name and shape is checked before anything is read. Raises UserError naming what is missing, damaged, of another shape or unknown.
    """
    declared, names, found, placed = _flat(decoder.spec(cfg), is_leaf=lambda x: isinstance(x, core_spec.P)), table(cfg), tensors(directory), _flat(shardings)
    shape = lambda ours: declared[ours].shape[1:] if ours.startswith("layers/") else declared[ours].shape
    expected = {name: _their_shape(shape(ours), axes) for ours, theirs in names.items() for name, axes in theirs}
    check(found, expected, "lm_head.weight" if cfg.tied else None, directory)
    params = {ours: _fill(found, names[ours], declared[ours].shape, placed[ours], dtype) for ours in names}
    layers = {ours.removeprefix("layers/"): x for ours, x in params.items() if ours.startswith("layers/")}
    return {ours: x for ours, x in params.items() if "/" not in ours} | {"layers": layers}


def save(directory: Path, params, cfg, dtype=None, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the parameters as safetensors under their names, in `dtype` or their own; more than `shard_bytes` of them as several files with an index."""
    from safetensors.numpy import save_file

    held, shards, room, total = _flat(params), [], 0, 0
    for ours, names in table(cfg).items():
        size = held[ours].size // len(names) * jnp.dtype(dtype or held[ours].dtype).itemsize
        for l, (name, axes) in enumerate(names):
            if not shards or size > room:
                shards.append([])
                room = shard_bytes
            shards[-1].append((name, axes, ours, l))
            room, total = room - size, total + size
    files = ["model.safetensors"] if len(shards) == 1 else [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        arrays = {name: _theirs(held[ours][l] if ours.startswith("layers/") else held[ours], axes, dtype) for name, axes, ours, l in shard}
        save_file(arrays, directory / (file + ".part"), metadata={"format": "pt"})
        (directory / (file + ".part")).chmod(0o644)  # the library writes files that only their owner can read
        os.replace(directory / (file + ".part"), directory / file)
    if len(shards) > 1:
        where = {name: file for file, shard in zip(files, shards) for name, *_ in shard}
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its file, dtype, shape, and the byte at which it begins."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def tensors(directory: Path) -> dict[str, Tensor]:
    """The tensors of a folder by name. Raises UserError where a file is missing or its header is not sound; the `safetensors` library judges that."""
    index = directory / "model.safetensors.index.json"
    if not index.is_file() and not (directory / "model.safetensors").is_file():
        raise UserError(f"{directory} has neither model.safetensors nor model.safetensors.index.json; other formats are not read")
    files = sorted(set(_weight_map(index).values())) if index.is_file() else ["model.safetensors"]
    return {name: tensor for file in files for name, tensor in _of_file(directory / file).items()}


def _of_file(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path.parent}: the shard {path.name} is missing")
    try:
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    header.pop("__metadata__", None)
    return {name: Tensor(path, said["dtype"], tuple(said["shape"]), 8 + size + said["data_offsets"][0]) for name, said in header.items()}


def check(found: dict[str, Tensor], expected: dict[str, tuple[int, ...]], ignored: str | None, directory: Path) -> None:
    """Raise UserError unless every expected tensor is there, in its shape, as floating point numbers, and nothing else is.

    `ignored` may be there, and old files carry rotary frequencies.
    """
    for name, shape in expected.items():
        if name not in found:
            raise UserError(f"{directory} has no tensor {name}")
        if found[name].shape != shape:
            raise UserError(f"{found[name].path}: {name} has the shape {found[name].shape}, config.json makes it {shape}")
        if found[name].dtype not in DTYPES:
            raise UserError(f"{found[name].path}: {name} holds {found[name].dtype}, not floating point numbers")
    more = sorted(name for name in found.keys() - expected.keys() if name != ignored and not name.endswith("rotary_emb.inv_freq"))
    if more:
        raise UserError(f"{directory} has tensors that config.json has no place for: {', '.join(more[:3])}{', ...' if len(more) > 3 else ''}")


def read(tensor: Tensor, index: tuple[slice, ...]) -> np.ndarray:
    """A part of a tensor: its rows are read, not mapped, so that what has been placed leaves the memory."""
    rows, dtype = range(*index[0].indices(tensor.shape[0])), jnp.dtype(DTYPES[tensor.dtype])
    row = math.prod(tensor.shape[1:])
    numbers = np.fromfile(tensor.path, dtype, len(rows) * row, offset=tensor.offset + rows.start * row * dtype.itemsize)
    if numbers.size != len(rows) * row:
        raise UserError(f"{tensor.path} has become shorter")
    return numbers.reshape(len(rows), *tensor.shape[1:])[(slice(None), *index[1:])]


def _weight_map(index: Path) -> dict[str, str]:
    """Which shard each tensor is in. Raises UserError for an index that is none, or that leads out of its folder."""
    try:
        where = json.loads(index.read_text())["weight_map"]
        good = all(isinstance(file, str) and Path(file).name == file and file.endswith(".safetensors") for file in where.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is damaged: {type(error).__name__}: {error}") from error
    if not good:
        raise UserError(f"{index} names files that are no safetensors of its own folder")
    return where


def _fill(found: dict[str, Tensor], theirs: list[tuple[str, str]], shape, sharding: NamedSharding, dtype):
    """One of our parameters, from their tensors of all layers."""
    dtype, stacked = dtype or DTYPES[found[theirs[0][0]].dtype], len(shape) > len(theirs[0][1].partition(" -> ")[2])
    if not stacked:
        [(name, axes)] = theirs
        return _arrange(shape, sharding, dtype)(_placed(found[name], axes, shape, sharding.spec, sharding.mesh), axes)
    whole = jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=sharding)()
    put = _put(shape[1:], sharding)
    for l, (name, axes) in enumerate(theirs):
        raw = _placed(found[name], axes, shape[1:], sharding.spec[1:], sharding.mesh)
        whole = jax.block_until_ready(put(whole, raw, l, axes))  # one at a time: nothing is read ahead
    return whole


def _placed(tensor: Tensor, axes: str, shape, spec, mesh) -> jax.Array:
    """Their tensor as it is in the file, every device holding the part that it will keep: `spec` splits our axes over the mesh."""
    theirs, _, ours = axes.partition(" -> ")
    over = dict(itertools.zip_longest(ours, spec))
    sharding = NamedSharding(mesh, PartitionSpec(*(over[group[0]] for group in theirs.split())))
    return jax.make_array_from_callback(_their_shape(shape, axes), sharding, lambda index: read(tensor, index))


def _arrange(shape, sharding, dtype):
    return jax.jit(lambda raw, axes: _ours(raw, axes, shape).astype(dtype or raw.dtype), static_argnums=1, out_shardings=sharding)


def _put(shape, sharding):
    """Put their tensor into layer l of our stack, in place."""
    put = lambda whole, raw, l, axes: whole.at[l].set(_ours(raw, axes, shape).astype(whole.dtype))
    return jax.jit(put, static_argnums=3, donate_argnums=0, out_shardings=sharding)


def _sizes(shape, axes: str) -> dict[str, int]:
    return dict(zip(axes.partition(" -> ")[2], shape))


def _their_shape(shape, axes: str) -> tuple[int, ...]:
    return tuple(math.prod(_sizes(shape, axes)[a] for a in group) for group in axes.partition(" -> ")[0].split())


def _ours(raw, axes: str, shape):
    """Their axes split, then put in our order."""
    theirs, _, ours = axes.partition(" -> ")
    letters, sizes = theirs.replace(" ", ""), _sizes(shape, axes)
    return raw.reshape([sizes[a] for a in letters]).transpose([letters.index(a) for a in ours])


def _theirs(x: jax.Array, axes: str, dtype) -> np.ndarray:
    """The way back."""
    theirs, _, ours = axes.partition(" -> ")
    moved = x.astype(dtype or x.dtype).transpose([ours.index(a) for a in theirs.replace(" ", "")])
    return np.ascontiguousarray(jax.device_get(moved.reshape(_their_shape(x.shape, axes))))


def _flat(tree, **options) -> dict:
    """Leaves by path, as `layers/q`."""
    return {"/".join(k.key for k in path): x for path, x in jax.tree_util.tree_leaves_with_path(tree, **options)}
