"""RMS norm over the last axis, the norm of Llama, Qwen and Gemma (Zhang & Sennrich 2019).

    y = x r s,    r = 1 / sqrt(mean(x^2) + eps)
    dx = r (g - n mean(g n)),    ds = sum over rows of dy n,        with g = dy s and n = x r

**Tiling.** A program holds whole rows, as many as fit a few thousand elements. The backward pass
starts 264 programs on a GPU, two for each SM of an H100. Each loops over its blocks of rows and
keeps the sum of dy n in registers, so that ds costs 264 rows of float32 and not N.
**Traffic.** Forward: x is read and y is written, 2 N D elements. Backward: x and dy are read and dx
is written, 3 N D. r is computed again from x, which is on chip anyway, in 2 operations an element;
a saved r would be one more array to write, to keep and to read.
**Intensity.** About 4 operations an element forward and 11 backward, against 4 and 6 bytes in bf16:
the kernel is bound by memory. Its roofline is the copy bandwidth.

Gemma's norm has the scale 1 + w: `rms_norm(x, 1.0 + w)` adds D elements outside the kernel.
"""

import functools

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.rms_norm import kernel
from pallas_kernels.rms_norm.reference import reference
from pallas_kernels.rows import check_vectors


def rms_norm(
    x: jax.Array, scale: jax.Array, eps: float = 1e-6, implementation: str | None = None
) -> jax.Array:
    """x / sqrt(mean(x^2) + eps) * scale over the last axis, in float32; the dtype of `x`.

    scale: [D]. Differentiable in x and scale, by kernels in reverse mode and once. Raises
    ValueError if the shape of scale is not that of the last axis, or for an unknown implementation.
    """
    check_vectors(x, scale=scale)
    return first_that_runs(IMPLEMENTATIONS, implementation, x, scale, eps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _rms_norm(x: jax.Array, scale: jax.Array, eps: float, backend: str) -> jax.Array:
    return kernel.forward(x, scale, eps, backend)


def _forward(x, scale, eps, backend):
    return kernel.forward(x, scale, eps, backend), (x, scale)


def _backward(eps, backend, kept, dy):
    return kernel.backward(*kept, dy, eps, backend)


_rms_norm.defvjp(_forward, _backward)
IMPLEMENTATIONS = {"reference": reference, **portable(_rms_norm)}
