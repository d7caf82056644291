"""RMS norm: the arguments of tests and benchmarks."""

import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, normal, size
from pallas_kernels.rms_norm import IMPLEMENTATIONS, reference, rms_norm

HALF = jnp.bfloat16
CASES = (
    Case("odd width", normal((3, 7, 300), (300,))),
    Case("one element", normal((1, 1), (1,)), {"eps": 1.0}),
    Case("no row", normal((0, 8), (8,))),
    Case("bfloat16", normal((5, 128), (128,), dtype=HALF)),
    Case("float16", normal((5, 24), (24,), dtype=jnp.float16), {"eps": 1e-5}),
    Case("programs of several blocks", normal((300, 2100), (2100,))),
    Case("width 512, 32k tokens", normal((32_768, 512), (512,)), size="cpu"),
    Case("llama3 8B, 8k tokens", normal((8192, 4096), (4096,), dtype=HALF), size="gpu"),
    Case("llama3 70B, 8k tokens", normal((8192, 8192), (8192,), dtype=HALF), size="gpu"),
    Case("qwen3 heads, 8k tokens", normal((8192, 40, 128), (128,), dtype=HALF), size="gpu"),
    Case("124M parameters, float32", normal((32, 1024, 768), (768,)), size="gpu"),
)


def cost(x, scale, eps=1e-6) -> Cost:
    """Four operations an element; x is read, y is written."""
    return Cost(4 * x.size, 2 * size(x) + size(scale))


OPERATION = Operation(rms_norm, reference, tuple(IMPLEMENTATIONS), CASES, cost, (0, 1))
