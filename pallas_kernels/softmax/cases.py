"""Softmax: the arguments of tests and benchmarks."""

import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, normal, size
from pallas_kernels.softmax import IMPLEMENTATIONS, reference, softmax

CASES = (
    Case("odd width", normal((2, 3, 77))),
    Case("one element", normal((1, 1))),
    Case("no row", normal((0, 8))),
    Case("bfloat16", normal((5, 128), dtype=jnp.bfloat16)),
    Case("16k rows of 1024", normal((16_384, 1024)), size="cpu"),
    Case("router of 128 experts, 8k tokens", normal((8192, 128), dtype=jnp.bfloat16), size="gpu"),
    Case("attention rows, 4k keys", normal((8192, 4096), dtype=jnp.bfloat16), size="gpu"),
    Case("32k vocabulary, 4k tokens", normal((4096, 32_000), dtype=jnp.bfloat16), size="gpu"),
)


def cost(x) -> Cost:
    """Five operations an element; x is read, y is written."""
    return Cost(5 * x.size, 2 * size(x))


OPERATION = Operation(softmax, reference, tuple(IMPLEMENTATIONS), CASES, cost)
