"""The product of activations and a weight, by which every layer multiplies.

A weight is an array, or an instance of a type that registers its own product with
`product.register`, such as a low-rank adapter or a quantised matrix.
"""

import functools
import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def dot(
    x: Float[Array, "*batch_and_inputs"], w, inputs: int = 1, dtype=None
) -> Float[Array, "*batch_and_outputs"]:
    """sum_i x[..., i] w[i, ...] over the last `inputs` axes of x and the first `inputs` axes of w.

    w is cast to the dtype of x. The result has dtype `dtype`, by default the dtype of x.
    """
    return product(w, x, inputs, dtype)


@functools.singledispatch
def product(w, x, inputs: int, dtype):
    """Implements `dot` for the type of `w`. This default flattens an array to one matrix product.

    The gradient of the weight is then the matrix product x^T dy. If batch and time stayed two axes,
    XLA on a CPU would first transpose copies of x and dy, which doubles the time of a small layer.
    """
    I = math.prod(w.shape[:inputs])
    y = jnp.matmul(x.reshape(-1, I), w.reshape(I, -1).astype(x.dtype), preferred_element_type=dtype)
    return y.reshape(*x.shape[: x.ndim - inputs], *w.shape[inputs:])
