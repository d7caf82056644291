"""Vector addition: the arguments of tests and benchmarks."""

import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, normal, size
from pallas_kernels.vector_add import IMPLEMENTATIONS, reference, vector_add

CASES = (
    Case("odd length", normal((2500,), (2500,))),
    Case("two axes in bfloat16", normal((3, 7), (3, 7), dtype=jnp.bfloat16)),
    Case("no element", normal((0,), (0,))),
    Case("16M elements, float32", normal((2**24,), (2**24,)), size="cpu"),
    Case("256M elements", normal((2**28,), (2**28,)), size="gpu"),
)


def cost(x, y) -> Cost:
    """An addition an element; x and y are read, the sum is written."""
    return Cost(x.size, size(x, y) + size(x))


OPERATION = Operation(
    vector_add, reference, tuple(IMPLEMENTATIONS), CASES, cost, differentiable=(0, 1), passes=1
)
