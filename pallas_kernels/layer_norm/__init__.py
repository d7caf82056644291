"""Layer norm over the last axis, the norm of GPT, BERT and DiT (Ba et al. 2016).

    y = n s + b,    n = (x - mean x) r,    r = 1 / sqrt(var x + eps)        (biased variance)
    dx = r (g - mean g - n mean(g n)),    ds = sum over rows of dy n,    db = sum of dy,    g = dy s

**Tiling.** As `rms_norm`: a program holds whole rows, and the backward pass loops over its blocks
of rows with the sums of dy n and of dy in registers.
**Traffic.** Forward: x is read and y is written, 2 N D elements; the variance is a second pass over
registers, exact also where mean(x^2) - mean(x)^2 would cancel. Backward: x and dy are read and dx
is written, 3 N D; mean and r are computed again from x, which is on chip anyway.
**Intensity.** About 7 operations an element forward and 14 backward, against 4 and 6 bytes in bf16:
the kernel is bound by memory. Its roofline is the copy bandwidth.
"""

import functools

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.layer_norm import kernel
from pallas_kernels.layer_norm.reference import reference
from pallas_kernels.rows import check_vectors


def layer_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    eps: float = 1e-6,
    implementation: str | None = None,
) -> jax.Array:
    """(x - mean) / sqrt(var + eps) * scale + bias over the last axis, in float32; dtype of `x`.

    scale, bias: [D]. Differentiable in x, scale and bias, by kernels in reverse mode and once.
    Raises ValueError if the shape of scale or bias is not that of the last axis, or for an unknown
    implementation.
    """
    check_vectors(x, scale=scale, bias=bias)
    return first_that_runs(IMPLEMENTATIONS, implementation, x, scale, bias, eps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float, backend: str
) -> jax.Array:
    return kernel.forward(x, scale, bias, eps, backend)


def _forward(x, scale, bias, eps, backend):
    return kernel.forward(x, scale, bias, eps, backend), (x, scale, bias)


def _backward(eps, backend, kept, dy):
    x, scale, bias = kept
    dx, dscale, dbias = kernel.backward(x, scale, dy, eps, backend)
    return dx, dscale.astype(scale.dtype), dbias.astype(bias.dtype)


_layer_norm.defvjp(_forward, _backward)
IMPLEMENTATIONS = {"reference": reference, **portable(_layer_norm)}
