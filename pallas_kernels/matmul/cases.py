"""Matrix product: the arguments of tests and benchmarks."""

import jax
import jax.numpy as jnp

from pallas_kernels.matmul import IMPLEMENTATIONS, matmul, reference
from pallas_kernels.operation import Case, Cost, Operation, size


def drawn(N: int, D: int, F: int, *, dtype=jnp.bfloat16, bias=False, residual=False):
    """key -> x [N, D], w [D, F] of variance 1 / D, bias [F] or None, residual [N, F] or None."""

    def arguments(key):
        keys = jax.random.split(key, 4)
        if dtype == jnp.int8:
            draw = lambda key, *shape: jax.random.randint(key, shape, -128, 128, jnp.int8)
        else:
            draw = lambda key, *shape: jax.random.normal(key, shape).astype(dtype)
        scale = 1 if dtype == jnp.int8 else jnp.asarray(D**-0.5, dtype)
        added = draw(keys[2], F) if bias else None, draw(keys[3], N, F) if residual else None
        return draw(keys[0], N, D), draw(keys[1], D, F) * scale, *added

    return arguments


EPILOGUE = {"dtype": jnp.float32, "bias": True, "residual": True}
CASES = (
    Case("odd sizes, whole epilogue", drawn(35, 530, 41, **EPILOGUE), {"activation": "gelu"}),
    Case(
        "bfloat16 on several tiles",
        drawn(20, 160, 530, bias=True, residual=True),
        {"activation": "silu"},
    ),
    Case("int8", drawn(33, 150, 20, dtype=jnp.int8), {"activation": "relu"}),
    Case("no row", drawn(0, 8, 3, bias=True), {"activation": "relu"}),
    Case("square of 1024", drawn(1024, 1024, 1024, dtype=jnp.float32), size="cpu"),
    Case("llama3 8B up, 8k tokens", drawn(8192, 4096, 14_336), {"activation": "silu"}, size="gpu"),
    Case("llama3 8B down, 8k tokens", drawn(8192, 14_336, 4096, residual=True), size="gpu"),
    Case("llama3 8B up, 1 token", drawn(1, 4096, 14_336), size="gpu"),
    Case("llama3 8B down, 16 tokens", drawn(16, 14_336, 4096, residual=True), size="gpu"),
    Case("llama3 8B keys, 1 token", drawn(1, 4096, 1024), size="gpu"),
    Case("square, float16", drawn(4096, 4096, 4096, dtype=jnp.float16), size="gpu"),
    Case("square, int8", drawn(4096, 4096, 4096, dtype=jnp.int8), size="gpu"),
)


def cost(x, w, bias=None, residual=None, *, activation=None) -> Cost:
    """Two operations for each element of x and column of w; the epilogue is free."""
    summed = 4 if x.dtype == jnp.int8 else x.dtype.itemsize
    result = x.size // x.shape[-1] * w.shape[1] if x.shape[-1] else 0
    return Cost(2 * x.size * w.shape[1], size(x, w, bias, residual) + summed * result)


OPERATION = Operation(
    matmul, reference, tuple(IMPLEMENTATIONS), CASES, cost, differentiable=(0, 1, 2, 3)
)
