"""Matrix product with its epilogue, the operation in which networks spend their time.

    y = act(x w + b) + r                                   x [N, D], w [D, F], b [F], r [N, F]
    dz = dy act'(z),  dx = dz w^T,  dw = x^T dz,  db = sum_n dz,  dr = dy,      z = x w + b

**Tiling.** A program owns 128 x 256 results (512 x 512 on a TPU) and sums products of tiles along D
in registers (VMEM), by tensor cores (the matrix unit): bf16 and f16 with float32 sums, int8 with
int32 sums. Float32 is multiplied in float32, without TF32. The epilogue runs on the sums before
they leave the chip. Ragged edges are masked; no array is padded.
**Traffic.** HBM: x and w once if the tiles of programs that run at once fit the L2 cache, y once.
Unfused, bias, activation and residual each read and write y again, 4 N F bytes in bf16.
L2 cache: (1/128 + 1/256) N D F elements.
**Split K.** If the tiles fill less than half of a GPU's multiprocessors, as one token by a matrix
of 1,024 columns, several programs share a tile. Each sums a part of D and writes float32 or int32;
XLA adds the parts and applies the epilogue. This costs 8 N F bytes of traffic a part.
The Mosaic version for Hopper (`mosaic.py`) takes whole tiles of bf16 and f16, without bias and
residual.
**Backward.** z is kept, in the dtype of x, if there is an activation. This costs 4 N F bytes of
traffic; a second product costs 2 N D F operations, which take longer from D = 600 on (H100). XLA
fuses dz and db into one pass over dy and z. dx and dw are products by the same kernel, which reads
w and x transposed: fused into them, act' would be computed anew for every tile along the other
axis.
**Intensity.** 2 N D F operations against 2 (N D + D F + N F) bytes in bf16: bound by compute above
about 300 operations a byte (H100), that is for large N; for N below about 300, as in decoding,
bound by reading w. The roofline is 990 TFLOP/s in bf16, twice that in int8, and 67 in float32.
"""

import functools
import math

import jax
import jax.numpy as jnp

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.matmul import kernel
from pallas_kernels.matmul.reference import ACTIVATIONS, reference


def matmul(
    x: jax.Array,
    w: jax.Array,
    bias: jax.Array | None = None,
    residual: jax.Array | None = None,
    *,
    activation: str | None = None,
    implementation: str | None = None,
) -> jax.Array:
    """activation(x w + bias) + residual, summed in float32; the dtype of `x`.

    x [..., D], w [D, F], bias [F], residual [..., F]. `x`, `w` and `residual` have one dtype:
    bfloat16, float16 or float32. If `x` and `w` are int8, the rest is int32.
    activation: None, "relu", "silu" or "gelu" (its tanh form); of integers, None or "relu".
    Differentiable in reverse mode in every floating-point argument.
    Raises ValueError for other shapes, dtypes and names.
    """
    _check(x, w, bias, residual, activation)
    call = functools.partial(first_that_runs, IMPLEMENTATIONS, implementation)
    return call(x, w, bias, residual, activation=activation)


def _check(x, w, bias, residual, activation):
    if x.ndim < 1 or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"x is [..., D] and w [D, F], not {x.shape} and {w.shape}")
    if bias is not None and bias.shape != w.shape[1:]:
        raise ValueError(f"bias is [F], here {w.shape[1:]}, not {bias.shape}")
    result = (*x.shape[:-1], w.shape[1])
    if residual is not None and residual.shape != result:
        raise ValueError(f"residual is [..., F], here {result}, not {residual.shape}")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"no activation {activation!r}; accepted: {', '.join(map(str, ACTIVATIONS))}"
        )
    if x.dtype != w.dtype:
        raise ValueError(f"x and w have one dtype, not {x.dtype} and {w.dtype}")
    if x.dtype != jnp.int8 and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x is bfloat16, float16, float32 or int8, not {x.dtype}")
    if x.dtype == jnp.int8 and activation not in (None, "relu"):
        raise ValueError(f"activation of int8 is None or 'relu', not {activation!r}")
    summed = jnp.dtype(jnp.int32) if x.dtype == jnp.int8 else x.dtype
    if residual is not None and residual.dtype != summed:
        raise ValueError(f"residual is {summed}, not {residual.dtype}")
    if bias is not None and jnp.issubdtype(bias.dtype, jnp.floating) != (x.dtype != jnp.int8):
        raise ValueError(
            f"bias is {'int32' if x.dtype == jnp.int8 else 'floating'}, not {bias.dtype}"
        )


def _kernel(x, w, bias, residual, backend, *, activation):
    """The operation on arrays of any rank, by a kernel for matrices."""
    if x.dtype == jnp.float64:
        raise NotImplementedError("kernels multiply bfloat16, float16, float32 and int8")
    if x.size == 0 or w.size == 0:
        return reference(x, w, bias, residual, activation=activation)
    flat = lambda array: array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    arrays = (flat(x), w, bias, None if residual is None else flat(residual))
    if backend == "mosaic":
        _mosaic().refuse(*arrays)
    y = _product(arrays, activation, backend)
    return y.reshape(*x.shape[:-1], w.shape[1])


def _multiply(backend, x, w, bias=None, residual=None, **options):
    if backend == "mosaic":
        return _mosaic().product(x, w, **options)
    return kernel.product(x, w, backend, bias, residual, **options)


def _mosaic():  # imported when it runs: Mosaic GPU takes 0.2 s
    from pallas_kernels.matmul import mosaic

    return mosaic


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _product(arrays, activation, backend):
    return _multiply(backend, *arrays, activation=activation)[0]


def _forward(arrays, activation, backend):
    x, w, *added = arrays
    keep = activation is not None
    y, *z = _multiply(backend, *arrays, activation=activation, keep=keep)
    return y, (x, w, [None if array is None else array[:0] for array in added], z)


def _backward(activation, backend, kept, dy):
    x, w, (bias, residual), z = kept
    if x.dtype == jnp.int8:
        return ((None, None, None, None),)
    dz = dy
    if z:
        wide = z[0].astype(jnp.float32)
        (dz,) = jax.vjp(ACTIVATIONS[activation], wide)[1](dy.astype(jnp.float32))
    db = None if bias is None else jnp.sum(dz, 0, dtype=jnp.float32).astype(bias.dtype)
    dz = dz.astype(x.dtype)
    (dx,) = _multiply(backend, dz, w, contract=(1, 1))
    (dw,) = _multiply(backend, x, dz, contract=(0, 0))
    return ((dx, dw, db, None if residual is None else dy),)


_product.defvjp(_forward, _backward)
IMPLEMENTATIONS = {
    "reference": reference,
    "mosaic": functools.partial(_kernel, backend="mosaic"),
    **portable(_kernel),
}
