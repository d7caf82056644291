"""Tensors of a Hugging Face folder: safetensors, in one file or in shards, read on demand.

Nothing is unpickled. The `safetensors` library checks the header of each file, and slices of
tensors are then read without mapping the file.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError

FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}
BUFFER_BYTES = 4_000_000
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Stored(NamedTuple):
    """Place of a tensor on disk."""

    path: Path
    """file that holds the tensor"""
    dtype: str
    """dtype as safetensors names it"""
    shape: tuple[int, ...]
    """shape of the tensor"""
    start: int
    """offset of the tensor's first byte in the file"""


class Folder:
    """The tensors of the folder `directory`, by name.

    Raises UserError if the folder has no safetensors, a missing shard, a damaged file, or a tensor
    in two files.
    """

    def __init__(self, directory: Path):
        self._directory, self._of = directory, {}
        for path in _files(directory):
            if not path.is_file():
                raise UserError(f"{directory}: the shard {path.name} is missing")
            for name, stored in _stored(path).items():
                if name in self._of:
                    first = self._of[name].path.name
                    raise UserError(f"{directory}: {name} is both in {first} and in {path.name}")
                self._of[name] = stored

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises UserError unless the folder has the tensor, in this shape, as floats."""
        if name not in self._of:
            raise UserError(f"{self._directory} has no tensor {name}")
        stored = self._of[name]
        if stored.shape != shape:
            raise UserError(
                f"{stored.path}: {name} has the shape {stored.shape}, config.json makes it {shape}"
            )
        if stored.dtype not in FLOATS:
            raise UserError(
                f"{stored.path}: {name} has dtype {stored.dtype}, "
                "not floating point of 16, 32 or 64 bits"
            )

    def check_nothing_else(self, used: set[str], ignored: str | None) -> None:
        """Raises UserError if the folder has a tensor that is not `used` or `ignored`.

        Rotary frequencies, which old files contain, are ignored too.
        """
        extra = sorted(
            name
            for name in self._of.keys() - used
            if name != ignored and not name.endswith("rotary_emb.inv_freq")
        )
        if extra:
            names = ", ".join(extra[:3] + ["..."] * (len(extra) > 3))
            raise UserError(f"{self._directory} has tensors that config.json does not use: {names}")

    def dtype(self, names: Sequence[str]):
        """The smallest dtype that holds all these tensors exactly, of at most 32 bits."""
        return jnp.result_type(
            *(jax.dtypes.canonicalize_dtype(FLOATS[self._of[name].dtype]) for name in names)
        )

    def read(self, name: str, bounds: tuple[tuple[int, int], ...]) -> np.ndarray:
        """The slice of a tensor between the `bounds` (start, stop) of its axes.

        The file is not mapped, because mapped pages count as memory of the process. The array
        starts at a multiple of 64 bytes, so that a CPU device takes it without a copy.
        Raises UserError if the file cannot be read or ends within the tensor.
        """
        stored = self._of[name]
        lengths = tuple(stop - start for start, stop in bounds)
        part = _aligned(lengths, FLOATS[stored.dtype])
        (first, _), *across = bounds
        row_bytes = math.prod(stored.shape[1:]) * part.itemsize
        whole_rows = lengths[1:] == stored.shape[1:]
        step = lengths[0] if whole_rows else max(1, BUFFER_BYTES // row_bytes)
        try:
            with stored.path.open("rb") as file:
                file.seek(stored.start + first * row_bytes)
                for row in range(0, lengths[0], step):
                    rows = part[row : row + step]
                    into = rows
                    if not whole_rows:
                        into = np.empty((len(rows), *stored.shape[1:]), part.dtype)
                    if file.readinto(into.reshape(-1).view(np.uint8)) != into.nbytes:
                        raise UserError(f"{stored.path} ends within {name}")
                    if not whole_rows:
                        rows[:] = into[:, *(slice(*bound) for bound in across)]
        except OSError as error:
            raise UserError(f"{stored.path} cannot be read at {name}: {error.strerror}") from error
        return part


def _files(directory: Path) -> list[Path]:
    """Paths of the single file or of all shards."""
    if (directory / INDEX).is_file():
        return [directory / file for file in sorted(set(_weight_map(directory / INDEX).values()))]
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    raise UserError(f"{directory} has neither {SINGLE} nor {INDEX}; other formats are not read")


def _weight_map(index: Path) -> dict[str, str]:
    """The shard of each tensor.

    Raises UserError if the index is damaged or names files outside of its folder.
    """
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        valid = all(
            isinstance(file, str) and Path(file).name == file and file.endswith(".safetensors")
            for file in shards.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is damaged: {type(error).__name__}: {error}") from error
    if not valid:
        raise UserError(f"{index} names files that are not safetensors of its own folder")
    return shards


def _stored(path: Path) -> dict[str, Stored]:
    """The tensors of a file, whose header the safetensors library checks first."""
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
    """An uninitialised array whose data start at a multiple of 64 bytes."""
    size = math.prod(shape) * jnp.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)
