"""Kernels in CUDA C++: built by nvcc, started by XLA's foreign function interface (`jax.ffi`).

`make cuda`, or `python -m pallas_kernels.cuda`, compiles `<operation>/<operation>.cu` of every
operation that has one into the library `LIBRARY`. A file exports a handler with the name of its
operation. XLA hands it the stream and the addresses of its arrays on the GPU.
"""

import ctypes
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "libpallas_kernels.so"
SOURCES = sorted(FOLDER.glob("*/*.cu"))
ARCHITECTURES = ("80", "90")  # A100; H100 and H200, with PTX for later ones


def call(operation: str, *arrays: jax.Array) -> jax.Array:
    """The operation on float32 arrays; its result has the shape of the first one.

    Raises NotImplementedError for another dtype, without an NVIDIA GPU, or before `make cuda`.
    """
    if any(x.dtype != jnp.float32 for x in arrays):
        raise NotImplementedError(f"cuda_ffi computes in float32, not in {arrays[0].dtype}")
    if jax.default_backend() != "gpu":
        raise NotImplementedError(f"cuda_ffi runs on a GPU, not on {jax.default_backend()}")
    if arrays[0].size == 0:
        return arrays[0]
    _register()
    return target(operation, *arrays)


def target(operation: str, *arrays: jax.Array) -> jax.Array:
    """The call of the handler, which XLA looks up by name when it compiles."""
    result = jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)
    return jax.ffi.ffi_call(name_of(operation), result, vmap_method="broadcast_all")(*arrays)


def name_of(operation: str) -> str:
    """Name of the handler in XLA."""
    return f"pallas_kernels.{operation}"


@functools.cache
def _register():
    """Loads the library and tells XLA its handlers."""
    if not LIBRARY.exists():
        raise NotImplementedError(f"cuda_ffi needs {LIBRARY.name}: run python -m {__name__}")
    library = ctypes.CDLL(str(LIBRARY))
    for source in SOURCES:
        handler = jax.ffi.pycapsule(getattr(library, source.stem))
        jax.ffi.register_ffi_target(name_of(source.stem), handler, platform="CUDA")


def command(nvcc: str, library: Path) -> list[str]:
    """The command that compiles all sources into a library."""
    codes = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in ARCHITECTURES]
    newest = ARCHITECTURES[-1]
    return [
        nvcc,
        "-std=c++17",
        "-O3",
        "-shared",
        "--threads=0",
        "-Xcompiler=-fPIC",
        "-isystem",
        jax.ffi.include_dir(),
        *codes,
        f"-gencode=arch=compute_{newest},code=compute_{newest}",
        *map(str, SOURCES),
        "-o",
        str(library),
    ]


def build(library: Path = LIBRARY) -> str | None:
    """Compiles the library. Returns the reason in one line if that fails."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return "no nvcc on PATH; it comes with NVIDIA's CUDA toolkit 12 or newer"
    done = subprocess.run(command(nvcc, library), stderr=subprocess.PIPE, text=True)
    return f"nvcc failed:\n{done.stderr.strip()}" if done.returncode else None


if __name__ == "__main__":
    if error := build():
        sys.exit(f"error: {error}")
    print(LIBRARY)
