"""GPU and TPU kernels in Pallas, a folder for each operation, each beside its plain reference.

    from pallas_kernels.softmax import softmax
    softmax(x)                                       # the first implementation that runs here
    softmax(x, implementation="triton_interpreted")  # the GPU kernel's body, run on any machine

A folder has the operation with its docstring page (`__init__.py`), the definition in jax.numpy
(`reference.py`), the kernels (`kernel.py`), and the argument shapes that tests and benchmarks share
(`cases.py`). `implementation` names one implementation:

    reference            the definition
    xla                  blockwise jax.numpy, in less memory than the reference; four have it
    triton               Pallas on an NVIDIA GPU, by Triton
    mosaic               Pallas on a Hopper GPU, by Mosaic GPU
    tpu                  Pallas on a TPU
    triton_interpreted, mosaic_interpreted, tpu_interpreted      the same kernels on any machine
    jax_triton  OpenAI Triton, by the package jax-triton; vector_add and softmax
    cuda_ffi    CUDA C++, built by `make cuda`; vector_add and softmax

By default the kernels of this machine are tried first, then xla, then the reference; the next one
only after NotImplementedError. A named implementation that cannot run raises with the reason.

The package is installed with `panorax` and imports jax alone, so that other projects can use a
kernel without the rest. Read in this order: `vector_add`, `softmax`, `rows.py`, `launch.py`,
`matmul`, `tiles.py`, then any folder.
"""

import importlib
import pkgutil

from pallas_kernels.operation import Operation


def names() -> tuple[str, ...]:
    """The folders of this package that have an operation."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


def operation(name: str) -> Operation:
    """The operation of a folder."""
    return importlib.import_module(f"{__name__}.{name}.cases").OPERATION


def operations() -> dict[str, Operation]:
    """Every operation by its name."""
    return {name: operation(name) for name in names()}
