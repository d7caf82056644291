"""Grouped matrix product: the arguments of tests and benchmarks."""

import jax
import jax.numpy as jnp

from pallas_kernels.grouped_matmul import IMPLEMENTATIONS, grouped_matmul, reference
from pallas_kernels.operation import Case, Cost, Operation, size


def sized(N: int, D: int, F: int, *group_sizes: int, dtype=jnp.float32):
    """key -> x [N, D], w [E, D, F] of variance 1 / D, these group sizes."""

    def arguments(key):
        keys = jax.random.split(key)
        x = jax.random.normal(keys[0], (N, D)).astype(dtype)
        w = jax.random.normal(keys[1], (len(group_sizes), D, F)) / D**0.5
        return x, w.astype(dtype), jnp.asarray(group_sizes, jnp.int32)

    return arguments


def routed(N: int, D: int, F: int, E: int):
    """key -> x [N, D] and w [E, D, F] in bfloat16; each row chose its expert evenly."""

    def arguments(key):
        x, w, _ = sized(N, D, F, *[0] * E, dtype=jnp.bfloat16)(key)
        expert = jax.random.randint(jax.random.fold_in(key, 1), (N,), 0, E)
        return x, w, jnp.bincount(expert, length=E).astype(jnp.int32)

    return arguments


CASES = (
    Case("odd groups, an empty one, rows left over", sized(75, 33, 37, 3, 0, 41, 17)),
    Case("bfloat16, one group has all", sized(40, 32, 40, 0, 40, dtype=jnp.bfloat16)),
    Case("all groups empty", sized(9, 8, 5, 0, 0)),
    Case("8 experts, 2k tokens", sized(2048, 256, 512, *[256] * 8), size="cpu"),
    Case("Mixtral 8x7B up, 8k tokens, top 2", routed(16_384, 4096, 14_336, 8), size="gpu"),
    Case("Mixtral 8x7B down, 8k tokens, top 2", routed(16_384, 14_336, 4096, 8), size="gpu"),
    Case("DeepSeek-V3 up, 8k tokens, top 8 of 256", routed(65_536, 7168, 2048, 256), size="gpu"),
    Case("DeepSeek-V3 up, 32 tokens, top 8 of 256", routed(256, 7168, 2048, 256), size="gpu"),
)


def cost(x, w, group_sizes) -> Cost:
    """Two operations for each element of x and column of w, as if every row had an expert."""
    result = len(x) * w.shape[2] * x.dtype.itemsize
    return Cost(2 * x.size * w.shape[2], size(x, w, group_sizes) + result)


OPERATION = Operation(
    grouped_matmul, reference, tuple(IMPLEMENTATIONS), CASES, cost, differentiable=(0, 1)
)
