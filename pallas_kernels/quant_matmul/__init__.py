"""Product with a quantised matrix, for models whose weights are read more than they are multiplied.

    y = x W,   dx = dy W^T,        W[P i + p, f] = value(code p of byte [i, f]) scale[group of i, f]

**Formats** (`formats.py`): int8 with a scale for each column, int4 with one for each group of rows,
NF4 with scales that are quantised again (QLoRA), ternary with one scale (BitNet b1.58). A matrix is
quantised once, `quantise_nf4(w)`, and is frozen: only x has a gradient, which QLoRA needs.
**Tiling.** As in `matmul`. A program loads a tile of bytes, and makes the weights of the first,
second, ... codes of its bytes in registers: shift, mask, look-up or subtraction, times the scale,
rounded to the dtype of x. The p-th weights meet the columns p, p + P, ... of x, which XLA gathers
beforehand; x is small next to w where this kernel pays. NF4 is looked up by 15 selections.
dx: a program sums P tiles, one for each place in the byte.
**Traffic.** HBM: bits / 16 of the bytes of a bf16 matrix. XLA writes the dequantised matrix and
reads it again, 4 D F bytes more. The scales of NF4 are dequantised by XLA to float32, D F / 16
bytes written and read.
**Intensity.** 2 N D F operations against bits / 8 D F bytes: for N = 1 and 4 bits 4 operations a
byte. Bound by reading the codes until N is about 70 (H100); the roofline is the copy bandwidth.
From N of about 300 on, `matmul` is bound by compute too: a dequantised matrix should be as fast,
but needs its memory.
"""

import functools
import math

import jax
import jax.numpy as jnp

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.quant_matmul import kernel
from pallas_kernels.quant_matmul.formats import (
    NF4,
    Int4,
    Int8,
    Quantised,
    Ternary,
    bits_per_weight,
    dequantise,
    quantise_int4,
    quantise_int8,
    quantise_nf4,
    quantise_ternary,
)
from pallas_kernels.quant_matmul.reference import reference

__all__ = [
    "NF4",
    "Int4",
    "Int8",
    "Ternary",
    "bits_per_weight",
    "dequantise",
    "quant_matmul",
    "quantise_int4",
    "quantise_int8",
    "quantise_nf4",
    "quantise_ternary",
]


def quant_matmul(x: jax.Array, w: Quantised, *, implementation: str | None = None) -> jax.Array:
    """x times the quantised matrix [D, F], summed in float32; [..., F] in the dtype of `x`.

    x [..., D] is bfloat16, float16 or float32; `w` is an Int8, Int4, NF4 or Ternary. The kernels
    round the weights to the dtype of `x`. Differentiable in reverse mode in `x`; `w` is frozen.
    Raises ValueError for other shapes, dtypes and names.
    """
    if not isinstance(w, Quantised):
        raise ValueError(f"w is an Int8, Int4, NF4 or Ternary, not {type(w).__name__}")
    if x.ndim < 1 or x.shape[-1] != w.D:
        raise ValueError(f"x is [..., {w.D}], as w has {w.D} rows, not {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x is bfloat16, float16 or float32, not {x.dtype}")
    return first_that_runs(IMPLEMENTATIONS, implementation, x, w)


def _kernel(x, w, backend):
    if x.dtype == jnp.float64:
        raise NotImplementedError("kernels multiply bfloat16, float16 and float32")
    if x.size == 0 or w.codes.size == 0:
        return reference(x, w)
    y = _product(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), w, backend)
    return y.reshape(*x.shape[:-1], y.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x, w, backend):
    return kernel.forward(x, w, backend)


def _forward(x, w, backend):
    return kernel.forward(x, w, backend), w


def _backward(backend, w, dy):
    return kernel.backward(dy, w, backend), None


_product.defvjp(_forward, _backward)
IMPLEMENTATIONS = {"reference": reference, **portable(_kernel)}
