"""Gates: the arguments of tests and benchmarks."""

import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, normal, size
from pallas_kernels.swiglu import IMPLEMENTATIONS, gated, reference


def pair(*shape: int, dtype=jnp.float32):
    """Values of gate and up."""
    return normal(shape, shape, dtype=dtype)


HALF = jnp.bfloat16
TANH, ERF = {"activation": "gelu_tanh"}, {"activation": "gelu"}
CASES = (
    Case("odd width, two tiles", pair(3, 7, 700)),
    Case("one element", pair(1, 1)),
    Case("no row", pair(0, 8)),
    Case("bfloat16", pair(5, 128, dtype=HALF)),
    Case("geglu by tanh", pair(5, 40), TANH),
    Case("geglu by erf, float16", pair(5, 40, dtype=jnp.float16), ERF),
    Case("geglu by erf", pair(5, 40), ERF),
    Case("width 1024, 16k tokens", pair(16_384, 1024), size="cpu"),
    Case("llama3 8B, 8k tokens", pair(8192, 14_336, dtype=HALF), size="gpu"),
    Case("llama2 7B, 8k tokens", pair(8192, 11_008, dtype=HALF), size="gpu"),
    Case("gemma2 9B, 8k tokens", pair(8192, 14_336, dtype=HALF), TANH, size="gpu"),
)


def cost(gate, up, activation="silu") -> Cost:
    """Eight operations an element; gate and up are read, the product is written."""
    return Cost(8 * gate.size, size(gate, up) + size(gate))


OPERATION = Operation(gated, reference, tuple(IMPLEMENTATIONS), CASES, cost, (0, 1))
