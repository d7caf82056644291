"""Layer norm: the arguments of tests and benchmarks."""

import jax.numpy as jnp

from pallas_kernels.layer_norm import IMPLEMENTATIONS, layer_norm, reference
from pallas_kernels.operation import Case, Cost, Operation, normal, size


def shapes(*shape: int, dtype=jnp.float32):
    """Values of x, scale and bias for an x of this shape."""
    return normal(shape, shape[-1:], shape[-1:], dtype=dtype)


HALF = jnp.bfloat16
CASES = (
    Case("odd width", shapes(3, 7, 300)),
    Case("one element", shapes(1, 1), {"eps": 1.0}),
    Case("no row", shapes(0, 8)),
    Case("bfloat16", shapes(5, 128, dtype=HALF)),
    Case("float16", shapes(5, 24, dtype=jnp.float16), {"eps": 1e-5}),
    Case("programs of several blocks", shapes(300, 2100)),
    Case("width 512, 32k tokens", shapes(32_768, 512), size="cpu"),
    Case("gpt2, 32k tokens", shapes(32, 1024, 768, dtype=HALF), size="gpu"),
    Case("DiT-XL/2, 256 images", shapes(256, 256, 1152, dtype=HALF), size="gpu"),
    Case("gpt3 175B, 4k tokens", shapes(4096, 12_288, dtype=HALF), size="gpu"),
)


def cost(x, scale, bias, eps=1e-6) -> Cost:
    """Seven operations an element; x is read, y is written."""
    return Cost(7 * x.size, 2 * size(x) + size(scale, bias))


OPERATION = Operation(layer_norm, reference, tuple(IMPLEMENTATIONS), CASES, cost, (0, 1, 2))
