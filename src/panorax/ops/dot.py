"""The product of activations with a weight: the one place where layers multiply by a matrix.

A weight is an array, or a leaf type of its own (a low-rank adapter, a quantised matrix) that registers its
product with `product.register`.
"""

import functools
import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def dot(
    x: Float[Array, "*batch_and_inputs"], w, inputs: int = 1, dtype=None
) -> Float[Array, "*batch_and_outputs"]:
    """sum_i x[..., i] w[i, ...]: contracts the last `inputs` axes of `x` with the first `inputs` of `w`.

    `w` is cast to the dtype of `x`; the result has dtype `dtype`, by default that of `x`.
    """
    return product(w, x, inputs, dtype)


@functools.singledispatch
def product(w, x, inputs: int, dtype):
    """`dot` for a weight of this type. For an array it is one product of two matrices, all other axes flattened.

    The gradient of the weight is then x^T dy, one product too. Written with batch and time as two axes it would
    sum over both, and XLA would copy x and dy transposed first on a CPU: twice the time for a small layer.
    """
    I = math.prod(w.shape[:inputs])
    y = jnp.matmul(x.reshape(-1, I), w.reshape(I, -1).astype(x.dtype), preferred_element_type=dtype)
    return y.reshape(*x.shape[: x.ndim - inputs], *w.shape[inputs:])
