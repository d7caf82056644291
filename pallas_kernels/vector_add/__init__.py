"""Vector addition, the first kernel of every GPU course, in four languages.

    z_i = x_i + y_i

**Tiling.** Element i belongs to one program (Pallas, Triton: a block of elements) or to one thread
(CUDA, Numba: a scalar). The last block extends past the end of the vector: a mask or an `if` keeps
it from reading and writing there.
**Traffic.** x and y are read once and z is written once, 3 N elements. Neighbouring threads access
neighbouring addresses, so a warp's 32 accesses become one transaction of 128 bytes (coalescing).
**Intensity.** One addition against 12 bytes in float32: the kernel is bound by memory everywhere.
Its roofline is the copy bandwidth.

The same kernel in the other languages, best read side by side:

    kernel.py         Pallas, for GPU and TPU
    triton_kernel.py  OpenAI Triton, started by jax-triton
    vector_add.cu     CUDA C++, started by XLA's foreign function interface
    numba_kernel.py   Numba, which compiles Python to a CUDA thread; for NumPy arrays
"""

import functools

import jax

from pallas_kernels import cuda, triton_launch
from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.launch import ceil_div
from pallas_kernels.vector_add import kernel
from pallas_kernels.vector_add.reference import reference


def vector_add(x: jax.Array, y: jax.Array, implementation: str | None = None) -> jax.Array:
    """x + y, for arrays of one shape and dtype. Differentiable in reverse mode.

    Beside the usual ones there are the implementations `jax_triton` and `cuda_ffi`.
    Raises ValueError for arrays that differ in shape or dtype, or an unknown implementation.
    """
    if x.shape != y.shape or x.dtype != y.dtype:
        raise ValueError(
            f"x and y have one shape and dtype; got {x.shape} {x.dtype} and {y.shape} {y.dtype}"
        )
    return first_that_runs(IMPLEMENTATIONS, implementation, x, y)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _vector_add(x: jax.Array, y: jax.Array, backend: str) -> jax.Array:
    return LANGUAGES[backend](x, y) if backend in LANGUAGES else kernel.add(x, y, backend)


def _in_triton(x: jax.Array, y: jax.Array) -> jax.Array:
    grid = ceil_div(x.size, kernel.SIZE)
    return triton_launch.call("vector_add", (x, y), grid=grid, N=x.size, SIZE=kernel.SIZE)


def _in_cuda(x: jax.Array, y: jax.Array) -> jax.Array:
    return cuda.call("vector_add", x, y)


LANGUAGES = {"jax_triton": _in_triton, "cuda_ffi": _in_cuda}
_vector_add.defvjp(
    lambda x, y, backend: (_vector_add(x, y, backend), None), lambda backend, _, dz: (dz, dz)
)
IMPLEMENTATIONS = {
    "reference": reference,
    **portable(_vector_add),
    **{name: functools.partial(_vector_add, backend=name) for name in LANGUAGES},
}
