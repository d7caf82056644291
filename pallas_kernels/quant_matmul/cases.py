"""Product with a quantised matrix: the arguments of tests and benchmarks."""

import jax
import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, size
from pallas_kernels.quant_matmul import (
    IMPLEMENTATIONS,
    quant_matmul,
    quantise_int4,
    quantise_int8,
    quantise_nf4,
    quantise_ternary,
    reference,
)


def drawn(quantise, N: int, D: int, F: int, dtype=jnp.bfloat16):
    """key -> x [N, D] and the quantised w [D, F] of variance 1 / D."""

    def arguments(key):
        keys = jax.random.split(key)
        w = jax.random.normal(keys[1], (D, F)) / D**0.5
        return jax.random.normal(keys[0], (N, D)).astype(dtype), quantise(w)

    return arguments


groups_of_32 = lambda w: quantise_int4(w, group=32)
CASES = (
    Case("int4, rows that fill no group", drawn(groups_of_32, 19, 330, 45, jnp.float32)),
    Case("NF4, odd columns", drawn(quantise_nf4, 5, 128, 37, jnp.float32)),
    Case("int8, bfloat16", drawn(quantise_int8, 5, 77, 37)),
    Case("ternary, rows that fill no byte", drawn(quantise_ternary, 5, 77, 37, jnp.float32)),
    Case("int4, 64 tokens", drawn(quantise_int4, 64, 1024, 1024, jnp.float32), size="cpu"),
    Case("llama3 8B up, NF4, 1 token", drawn(quantise_nf4, 1, 4096, 14_336), size="gpu"),
    Case("llama3 8B down, NF4, 16 tokens", drawn(quantise_nf4, 16, 14_336, 4096), size="gpu"),
    Case("llama3 8B up, NF4, 8k tokens", drawn(quantise_nf4, 8192, 4096, 14_336), size="gpu"),
    Case("llama3 8B up, int4, 1 token", drawn(quantise_int4, 1, 4096, 14_336), size="gpu"),
    Case("llama3 8B up, int8, 1 token", drawn(quantise_int8, 1, 4096, 14_336), size="gpu"),
    Case("llama3 8B up, ternary, 1 token", drawn(quantise_ternary, 1, 4096, 14_336), size="gpu"),
)


def cost(x, w) -> Cost:
    """Two operations for each element of x and column of w; codes and scales are read."""
    F = w.codes.shape[1]
    result = x.size // w.D * F if w.D else 0
    return Cost(2 * x.size * F, size(x, w) + result * x.dtype.itemsize)


OPERATION = Operation(quant_matmul, reference, tuple(IMPLEMENTATIONS), CASES, cost, passes=2)
