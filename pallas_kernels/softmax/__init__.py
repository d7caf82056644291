"""Softmax over the last axis, the first fused kernel that most people write.

    y_i = e^(x_i - max x) / sum_j e^(x_j - max x),        dx = y (dy - sum_j dy_j y_j)

**Tiling.** A program holds whole rows, as many as fit a few thousand elements.
**Traffic.** Forward: x is read once and y written once, 2 N D elements. Unfused, the maximum, the
difference, the exponential, the sum and the quotient move 8 N D elements, four times as many.
Backward: y and dy are read, dx is written; x is not kept.
**Intensity.** About 5 operations an element against 4 bytes in bf16: the kernel is bound by memory
on every accelerator. Its roofline is the copy bandwidth.

`triton_kernel.py` has the same kernel in OpenAI Triton, `softmax.cu` in CUDA C++.
"""

import functools

import jax

from pallas_kernels import cuda, triton_launch
from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.launch import power_of_2
from pallas_kernels.softmax import kernel
from pallas_kernels.softmax.reference import reference


def softmax(x: jax.Array, implementation: str | None = None) -> jax.Array:
    """e^(x - max x) / sum e^(x - max x) over the last axis, in float32; the dtype of `x`.

    A row whose elements are all -inf is NaN, as in `jax.nn.softmax`. Differentiable in reverse
    mode. Beside the usual implementations there are `jax_triton` and `cuda_ffi`, whose gradient is
    the kernel in Pallas. Raises ValueError for an unknown implementation.
    """
    return first_that_runs(IMPLEMENTATIONS, implementation, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _softmax(x: jax.Array, backend: str) -> jax.Array:
    return LANGUAGES[backend](x) if backend in LANGUAGES else kernel.forward(x, backend)


def _forward(x, backend):
    y = _softmax(x, backend)
    return y, y


def _backward(backend, y, dy):
    return (kernel.backward(y, dy, "triton" if backend in LANGUAGES else backend),)


def _in_triton(x):
    D, size = x.shape[-1], power_of_2(x.shape[-1])
    warps = max(1, min(16, size // 256))
    return triton_launch.call("softmax", (x,), grid=x.size // D, num_warps=warps, D=D, SIZE=size)


def _in_cuda(x):
    return cuda.call("softmax", x)


_softmax.defvjp(_forward, _backward)
LANGUAGES = {"jax_triton": _in_triton, "cuda_ffi": _in_cuda}
IMPLEMENTATIONS = {
    "reference": reference,
    **portable(_softmax),
    **{name: functools.partial(_softmax, backend=name) for name in LANGUAGES},
}
