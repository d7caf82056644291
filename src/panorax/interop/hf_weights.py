"""Weights of Hugging Face folders (safetensors, one file or shards with an index) as our parameters, and back. Nothing is unpickled.

Their matrices are (out, in), a layer each; ours are (in, heads, ...) and stacked along the layers. A table says for each of our parameters
their name and how the axes go, in the letters of CONVENTIONS.md: `HK D -> DHK` is a matrix of H K rows and D columns that becomes (D, H, K).
Every tensor is read when its turn comes, by each device the part it keeps, and put into its place in the stack on the device: the host holds
one tensor at a time.
"""

import dataclasses
import functools
import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.nets.decoders import decoder

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
FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}
SHARD_BYTES = 5_000_000_000
TURN_BYTES = 4_000_000


def table(cfg) -> dict[str, list[tuple[str, str]]]:
    """For each of our parameters (a layer's as `layers/q`) the names of their tensors, one a layer, and the way of the axes."""
    spec = decoder.spec(cfg)
    layer = LAYER | (WITH_POST_NORMS if "attn_post_norm" in spec["layers"] else {})
    stacked = {
        f"layers/{ours}": [
            (f"model.layers.{l}.{layer[ours][0]}", layer[ours][1]) for l in range(cfg.n_layers)
        ]
        for ours in spec["layers"]
    }
    return {ours: [TOP[ours]] for ours in spec if ours != "layers"} | stacked


def load(directory: Path, cfg, shardings, dtype=None):
    """The parameters of the model `cfg` from a folder, placed as `shardings` says (a tree of NamedSharding), in `dtype` or that of the file.

    Every name and shape is checked before anything is read. Raises UserError naming what is missing, damaged, of another shape or unknown.
    """
    folder, names = Folder(directory), table(cfg)
    declared = _flat(decoder.spec(cfg), is_leaf=lambda x: isinstance(x, core_spec.P))
    for ours, tensors in names.items():
        shape = declared[ours].shape[1:] if ours.startswith("layers/") else declared[ours].shape
        for name, axes in tensors:
            folder.check(name, _their_shape(shape, axes))
    folder.check_nothing_else(
        {name for tensors in names.values() for name, _ in tensors},
        "lm_head.weight" if cfg.tied else None,
    )
    placed = _flat(shardings)
    params = {
        ours: _fill(folder, names[ours], declared[ours].shape, placed[ours], dtype)
        for ours in names
    }
    layers = {
        ours.removeprefix("layers/"): x for ours, x in params.items() if ours.startswith("layers/")
    }
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
    files = (
        ["model.safetensors"]
        if len(shards) == 1
        else [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    )
    for file, shard in zip(files, shards):
        arrays = {
            name: _theirs(held[ours][l] if ours.startswith("layers/") else held[ours], axes, dtype)
            for name, axes, ours, l in shard
        }
        save_file(arrays, directory / (file + ".part"), metadata={"format": "pt"})
        (directory / (file + ".part")).chmod(
            0o644
        )  # the library writes files that only their owner can read
        os.replace(directory / (file + ".part"), directory / file)
    if len(shards) > 1:
        where = {name: file for file, shard in zip(files, shards) for name, *_ in shard}
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


class Folder:
    """The tensors of a folder, by name, read on demand."""

    def __init__(self, directory: Path):
        self._directory, self._of = directory, {}
        index = directory / "model.safetensors.index.json"
        if index.is_file():
            files = sorted(set(_weight_map(index).values()))
        elif (directory / "model.safetensors").is_file():
            files = ["model.safetensors"]
        else:
            raise UserError(
                f"{directory} has neither model.safetensors nor model.safetensors.index.json; other formats are not read"
            )
        for path in (directory / file for file in files):
            if not path.is_file():
                raise UserError(f"{directory}: the shard {path.name} is missing")
            for name, there in _stored(path).items():
                if name in self._of:
                    raise UserError(
                        f"{directory}: {name} is both in {self._of[name].path.name} and in {path.name}"
                    )
                self._of[name] = there

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise UserError unless the tensor is there, in this shape, as floating point numbers."""
        if name not in self._of:
            raise UserError(f"{self._directory} has no tensor {name}")
        there = self._of[name]
        if there.shape != shape:
            raise UserError(
                f"{there.path}: {name} has the shape {there.shape}, config.json makes it {shape}"
            )
        if there.dtype not in FLOATS:
            raise UserError(
                f"{there.path}: {name} holds {there.dtype}, not floating point numbers of 16, 32 or 64 bits"
            )

    def check_nothing_else(self, used: set[str], ignored: str | None) -> None:
        """Raise UserError for a tensor that has no place; `ignored` may be there, and old files carry rotary frequencies."""
        more = sorted(
            name
            for name in self._of.keys() - used
            if name != ignored and not name.endswith("rotary_emb.inv_freq")
        )
        if more:
            raise UserError(
                f"{self._directory} has tensors that config.json has no place for: {', '.join(more[:3])}{', ...' if len(more) > 3 else ''}"
            )

    def dtype(self, names: Sequence[str]):
        """The dtype that holds what all of these tensors hold, at most 32 bits."""
        return jnp.result_type(
            *(jax.dtypes.canonicalize_dtype(FLOATS[self._of[name].dtype]) for name in names)
        )

    def read(self, name: str, bounds: tuple[tuple[int, int], ...]) -> np.ndarray:
        """The part of a tensor between these bounds of its axes.

        The file is not mapped: pages of a map count as memory of the process. A CPU device takes the array as it is, for it starts at a multiple of
        64 bytes; any other would be copied.
        """
        there = self._of[name]
        lengths = tuple(stop - start for start, stop in bounds)
        part = _aligned(lengths, FLOATS[there.dtype])
        (first, _), *across = bounds
        row_bytes = math.prod(there.shape[1:]) * part.itemsize
        whole_rows = lengths[1:] == there.shape[1:]
        turn = lengths[0] if whole_rows else max(1, TURN_BYTES // row_bytes)
        try:
            with there.path.open("rb") as file:
                file.seek(there.start + first * row_bytes)
                for row in range(0, lengths[0], turn):
                    rows = part[row : row + turn]
                    into = (
                        rows if whole_rows else np.empty((len(rows), *there.shape[1:]), part.dtype)
                    )
                    if file.readinto(into.reshape(-1).view(np.uint8)) != into.nbytes:
                        raise UserError(f"{there.path} ends within {name}")
                    if not whole_rows:
                        rows[:] = into[:, *(slice(*bound) for bound in across)]
        except OSError as error:
            raise UserError(f"{there.path} cannot be read at {name}: {error.strerror}") from error
        return part


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where a tensor lies: its file, dtype as safetensors says it, shape, and first byte."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


def _stored(path: Path) -> dict[str, Stored]:
    """The tensors of a file. Its header is held to the format by the safetensors library; what it says is then read here."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    header.pop("__metadata__", None)
    return {
        name: Stored(path, x["dtype"], tuple(x["shape"]), 8 + length + x["data_offsets"][0])
        for name, x in header.items()
    }


def _aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    size = math.prod(shape) * jnp.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def _weight_map(index: Path) -> dict[str, str]:
    """Which shard each tensor is in. Raises UserError for an index that is none, or that leads out of its folder."""
    try:
        where = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        good = all(
            isinstance(file, str) and Path(file).name == file and file.endswith(".safetensors")
            for file in where.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is damaged: {type(error).__name__}: {error}") from error
    if not good:
        raise UserError(f"{index} names files that are no safetensors of its own folder")
    return where


def _fill(folder: Folder, tensors: list[tuple[str, str]], shape, sharding: NamedSharding, dtype):
    """One of our parameters, from their tensors of all layers."""
    dtype, stacked = (
        dtype or folder.dtype([name for name, _ in tensors]),
        len(shape) > len(tensors[0][1].partition(" -> ")[2]),
    )
    if not stacked:
        [(name, axes)] = tensors
        raw = _placed(folder, name, axes, shape, sharding.spec, sharding.mesh)
        return jax.block_until_ready(_arrange(shape, sharding, dtype)(raw, axes))
    whole = jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=sharding)()
    put = _put(shape[1:], sharding)
    for l, (name, axes) in enumerate(tensors):
        raw = _placed(folder, name, axes, shape[1:], sharding.spec[1:], sharding.mesh)
        whole = jax.block_until_ready(
            put(whole, raw, l, axes)
        )  # else the next tensor is read while this one is still held
    return whole


def _placed(folder: Folder, name: str, axes: str, shape, spec, mesh) -> jax.Array:
    """Their tensor as it is in the file, every device holding the part that it will keep: `spec` splits our axes over the mesh."""
    theirs, _, ours = axes.partition(" -> ")
    over = dict(itertools.zip_longest(ours, spec))
    sharding = NamedSharding(mesh, PartitionSpec(*(over[group[0]] for group in theirs.split())))
    whole = _their_shape(shape, axes)
    read = functools.cache(
        lambda *bounds: folder.read(name, bounds)
    )  # devices that keep the same part share one reading of it
    return jax.make_array_from_callback(
        whole, sharding, lambda index: read(*(s.indices(n)[:2] for s, n in zip(index, whole)))
    )


@functools.cache
def _arrange(shape, sharding, dtype):
    """Their tensor as ours, in its place."""
    return jax.jit(
        lambda raw, axes: _ours(raw, axes, shape).astype(dtype or raw.dtype),
        static_argnums=1,
        out_shardings=sharding,
    )


@functools.cache
def _put(shape, sharding):
    """Put their tensor into layer l of our stack, in place."""
    put = lambda whole, raw, l, axes: whole.at[l].set(_ours(raw, axes, shape).astype(whole.dtype))
    return jax.jit(put, static_argnums=3, donate_argnums=0, out_shardings=sharding)


def _sizes(shape, axes: str) -> dict[str, int]:
    return dict(zip(axes.partition(" -> ")[2], shape))


def _their_shape(shape, axes: str) -> tuple[int, ...]:
    return tuple(
        math.prod(_sizes(shape, axes)[a] for a in group)
        for group in axes.partition(" -> ")[0].split()
    )


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
    return {
        "/".join(k.key for k in path): x
        for path, x in jax.tree_util.tree_leaves_with_path(tree, **options)
    }
