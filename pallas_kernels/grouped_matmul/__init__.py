"""Products of the rows of each expert with its matrix, for mixtures of experts.

    y_n = x_n w_e,   dx_n = dy_n w_e^T,   dw_e = x_e^T dy_e        for the rows n of group e
    x [N, D] sorted by expert, w [E, D, F], group_sizes [E]

**Tiling.** A group of s rows has ceil(s / M) tiles of M rows, and each is multiplied with its
expert's matrix as in `matmul`. XLA computes beforehand which group and rows each tile has
(`layout.py`); the grid has the N / M + E tiles that suffice for all sizes. M follows the mean
group: many small experts get low tiles. dw_e is owned by programs that walk along the rows of group
e; a large group makes long programs, but no program waits for another one.
**Traffic.** HBM: x and y once, w once if the tiles of an expert run at once, which their order
provides; the matrix of an empty expert is not read. On a GPU no row is copied. On a TPU the rows
are copied so that each group starts a tile, 2 N (D + F) elements more, because its blocks are
aligned. The xla version does the same.
**Backward.** dx is the product with w_e^T and dw_e is the ragged sum; nothing but x is kept.
**Intensity.** 2 N D F operations against 2 (N D + E D F + N F) bytes in bf16: bound by compute from
300 rows an expert on (H100); below, by reading the experts. The roofline is `matmul`'s.
"""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.grouped_matmul import blockwise, kernel
from pallas_kernels.grouped_matmul.reference import reference


def grouped_matmul(
    x: jax.Array, w: jax.Array, group_sizes: jax.Array, *, implementation: str | None = None
) -> jax.Array:
    """y_n = x_n w_e for the rows n of group e, summed in float32; [N, F] in the dtype of `x`.

    x [N, D] has the rows of group 0 first, then those of group 1, ...; w [E, D, F] has its dtype,
    bfloat16, float16 or float32; group_sizes [E] are integers, of sum at most N, and may be 0.
    Rows past the last group give 0. Differentiable in reverse mode in `x` and `w`.
    Raises ValueError for other shapes, dtypes and names.
    """
    if x.ndim != 2 or w.ndim != 3 or x.shape[1] != w.shape[1] or len(w) == 0:
        raise ValueError(f"x is [N, D] and w [E, D, F], not {x.shape} and {w.shape}")
    if group_sizes.shape != w.shape[:1] or not jnp.issubdtype(group_sizes.dtype, jnp.integer):
        raise ValueError(
            f"group_sizes are {len(w)} integers, not {group_sizes.dtype}{list(group_sizes.shape)}"
        )
    if x.dtype != w.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x and w have one floating dtype, not {x.dtype} and {w.dtype}")
    return first_that_runs(IMPLEMENTATIONS, implementation, x, w, group_sizes)


def _kernel(x, w, group_sizes, backend):
    if x.dtype == jnp.float64:
        raise NotImplementedError("kernels multiply bfloat16, float16 and float32")
    if x.size == 0 or w.size == 0:
        return reference(x, w, group_sizes)
    return _product(x, w, group_sizes, backend)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _product(x, w, group_sizes, backend):
    return _by_experts(x, w, group_sizes, backend)


def _forward(x, w, group_sizes, backend):
    return _by_experts(x, w, group_sizes, backend), (x, w, group_sizes)


def _backward(backend, kept, dy):
    x, w, group_sizes = kept
    dx = _by_experts(dy, w, group_sizes, backend, transpose=True)
    if backend == "xla":
        return dx, blockwise.rows_into_experts(x, dy, group_sizes), None
    return dx, kernel.rows_into_experts(x, dy, group_sizes, backend), None


def _by_experts(x, w, group_sizes, backend, **options):
    if backend == "xla":
        return blockwise.rows_by_experts(x, w, group_sizes, **options)
    return kernel.rows_by_experts(x, w, group_sizes, backend, **options)


_product.defvjp(_forward, _backward)
IMPLEMENTATIONS = {
    "reference": reference,
    "xla": functools.partial(_kernel, backend="xla"),
    **portable(_kernel),
}
