"""Rotary position embeddings: the arguments of tests and benchmarks.

Positions of small cases are below 50: an angle in float32 errs by 6e-8 of itself, in every
implementation.
"""

import jax
import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, size
from pallas_kernels.rope import IMPLEMENTATIONS, reference, rope


def heads(B: int, T: int, H: int, K: int, *, rows: int = 1, dtype=jnp.float32, theta=10_000.0):
    """Standard normal heads, increasing positions from a random one on, frequencies by theta."""

    def arguments(key):
        key_x, key_first = jax.random.split(key)
        x_BTHK = jax.random.normal(key_x, (B, T, H, K)).astype(dtype)
        first_B1 = jax.random.randint(key_first, (B, 1), 0, 30)
        exponents = -jnp.arange(K // 2, dtype=jnp.float32) * 2 / K
        frequencies = theta ** exponents[None] * (1 + jnp.arange(rows)[:, None])
        return x_BTHK, first_B1 + jnp.arange(T)[None], frequencies

    return arguments


HALF = jnp.bfloat16
CASES = (
    Case("head of 80, 3 heads", heads(2, 13, 3, 80)),
    Case("frequencies of each row", heads(3, 5, 2, 8, rows=3)),
    Case("one pair", heads(1, 1, 1, 2)),
    Case("no token", heads(2, 0, 2, 8)),
    Case("bfloat16, two tiles of heads", heads(1, 3, 33, 128, dtype=HALF)),
    Case("float16", heads(1, 20, 4, 64, dtype=jnp.float16)),
    Case("8 heads of 64, 32k tokens", heads(1, 32_768, 8, 64), size="cpu"),
    Case("llama3 8B queries, 8k", heads(1, 8192, 32, 128, dtype=HALF, theta=5e5), size="gpu"),
    Case("llama3 8B keys, 8k", heads(1, 8192, 8, 128, dtype=HALF, theta=5e5), size="gpu"),
    Case("phi-2, head of 80", heads(8, 2048, 32, 80, dtype=HALF), size="gpu"),
)


def cost(x_BTHK, position_BT, frequencies) -> Cost:
    """Three operations an element; x is read, y is written."""
    return Cost(3 * x_BTHK.size, 2 * size(x_BTHK) + size(position_BT, frequencies))


OPERATION = Operation(rope, reference, tuple(IMPLEMENTATIONS), CASES, cost, passes=2)
