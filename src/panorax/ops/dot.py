"""The product of activations with a weight, which every layer with a matrix goes through."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def dot(x: Float[Array, "*batch_and_inputs"], w: Float[Array, "*inputs_and_outputs"], inputs: int = 1, dtype=None) -> Float[Array, "*batch_and_outputs"]:
    """sum_i x[..., i] w[i, ...]: the last `inputs` axes of `x` against the first `inputs` of `w`, in the dtype of `x` unless one is given.

    It is one product of two matrices, all other axes flattened. So is then the gradient of the weight, x^T dy. Written with batch and time as two
    axes it sums over both, and XLA's compiler for CPUs copies x and dy transposed before it multiplies: twice the time for a small layer.
    """
    I = math.prod(w.shape[:inputs])
    y = jnp.matmul(x.reshape(-1, I), w.reshape(I, -1), preferred_element_type=dtype)
    return y.reshape(*x.shape[: x.ndim - inputs], *w.shape[inputs:])
