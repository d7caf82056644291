"""Softmax over the last axis, the first fused kernel that most people write.

    y_i = e^(x_i - max x) / sum_j e^(x_j - max x),        dx = y (dy - sum_j dy_j y_j)

**Tiling.** A program holds whole rows, as many as fit a few thousand elements.
**Traffic.** Forward: x is read once and y written once, 2 N D elements. Without fusion the maximum,
the exponentials, the sum and the quotient read and write HBM about five times. Backward: y and dy
are read, dx is written; x is not kept.
**Intensity.** About 5 operations an element against 4 bytes in bf16: the kernel is bound by memory
on every accelerator. Its roofline is the copy bandwidth.
"""

import functools

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.softmax import kernel
from pallas_kernels.softmax.reference import reference


def softmax(x: jax.Array, implementation: str | None = None) -> jax.Array:
    """e^(x - max x) / sum e^(x - max x) over the last axis, in float32; the dtype of `x`.

    A row whose elements are all -inf is NaN, as in `jax.nn.softmax`. Differentiable in reverse
    mode. Raises ValueError for an unknown implementation.
    """
    return first_that_runs(IMPLEMENTATIONS, implementation, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _softmax(x: jax.Array, backend: str) -> jax.Array:
    return kernel.forward(x, backend)


def _forward(x, backend):
    y = kernel.forward(x, backend)
    return y, y


def _backward(backend, y, dy):
    return (kernel.backward(y, dy, backend),)


_softmax.defvjp(_forward, _backward)
IMPLEMENTATIONS = {"reference": reference, **portable(_softmax)}
