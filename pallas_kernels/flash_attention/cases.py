"""Attention: the arguments of tests and benchmarks."""

import functools

import jax.numpy as jnp
import numpy as np

from pallas_kernels.flash_attention import IMPLEMENTATIONS, flash_attention
from pallas_kernels.operation import Case, Cost, Operation, normal, size


def heads(B: int, T: int, S: int, H: int, G: int, K: int, dtype=jnp.bfloat16):
    """Arguments q, k and v."""
    return normal((B, T, H, K), (B, S, G, K), (B, S, G, K), dtype=dtype)


CAUSAL = {"causal": True}
EVERYTHING = {
    "causal": True,
    "window": 70,
    "lengths": np.array([140, 0], np.int32),
    "q_segments": np.repeat(np.array([[0, 1], [1, 1]], np.int32), 75, 1),
    "k_segments": np.repeat(np.array([[0, 1], [1, 1]], np.int32), 75, 1),
    "slopes": np.array([0.5, 0.25, 0.125, 0.0625], np.float32),
    "cap": 2.0,
    "scale": 0.4,
    "return_lse": True,
}
CASES = (
    Case("causal, grouped heads", heads(2, 150, 150, 4, 2, 20, jnp.float32), CAUSAL),
    Case("every option", heads(2, 150, 150, 4, 1, 20, jnp.float32), EVERYTHING),
    Case("one query", heads(1, 1, 77, 2, 2, 16), {"return_lse": True}),
    Case("no key", heads(1, 3, 0, 2, 1, 16)),
    Case("4 heads, 2k tokens", heads(1, 2048, 2048, 4, 4, 64, jnp.float32), CAUSAL, size="cpu"),
    Case("llama3 8B, 8k tokens", heads(1, 8192, 8192, 32, 8, 128), CAUSAL, size="gpu"),
    Case("16k tokens, not causal", heads(1, 16_384, 16_384, 16, 16, 128), size="gpu"),
    Case(
        "mistral 7B, window 4k of 16k tokens",
        heads(1, 16_384, 16_384, 32, 8, 128),
        {"causal": True, "window": 4096},
        size="gpu",
    ),
    *(
        Case(
            f"heads of {K}, 4k tokens",
            heads(4, 4096, 4096, 2048 // K, 2048 // K, K),
            CAUSAL,
            size="gpu",
        )
        for K in (64, 80, 96, 256)
    ),
)


def cost(q, k, v, causal=False, **options) -> Cost:
    """4 T S K operations a query head, half of them if causal; q, k, v and out move once.

    A window or segments leave fewer; the cost does not count that.
    """
    B, T, H, K = q.shape
    flops = 4 * B * H * T * k.shape[1] * K
    return Cost(flops / 2 if causal else flops, size(q, k, v, q))


OPERATION = Operation(
    flash_attention,
    functools.partial(flash_attention, implementation="reference"),
    tuple(IMPLEMENTATIONS),
    CASES,
    cost,
    differentiable=(0, 1, 2),
)
