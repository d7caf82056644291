"""Paged attention: the arguments of tests and benchmarks."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from pallas_kernels.operation import Case, Cost, Operation, size
from pallas_kernels.paged_attention import (
    IMPLEMENTATIONS,
    paged_attention_and_lse,
    reference,
)


def decoding(
    heads: tuple[int, int, int], page: int, P: int, lengths: Sequence[int], dtype=jnp.float32
) -> Callable[[jax.Array], tuple]:
    """Arguments for (H, G, K), P pages of `page` tokens a sequence, in random order."""
    (H, G, K), B = heads, len(lengths)
    cache = (G, B * P, page, K)

    def arguments(key):
        keys = jax.random.split(key, 4)
        q_k_v = (
            jax.random.normal(key, shape, dtype)
            for key, shape in zip(keys[:3], ((B, H, K), cache, cache), strict=True)
        )
        tables = jax.random.permutation(keys[3], jnp.arange(B * P, dtype=jnp.int32))
        return (*q_k_v, tables.reshape(B, P), jnp.asarray(lengths, jnp.int32))

    return arguments


CASES = (
    Case("ragged, one empty", decoding((4, 2, 64), 16, 3, (0, 1, 17, 48))),
    Case("page of 5, head of 80", decoding((2, 2, 80), 5, 4, (13, 5)), {"splits": 2}),
    Case("window and soft cap", decoding((6, 2, 96), 8, 5, (40, 23)), {"window": 11, "cap": 5.0}),
    Case("multi-query, bfloat16", decoding((8, 1, 128), 16, 4, (50,), jnp.bfloat16), {"splits": 5}),
    Case("head of 256", decoding((2, 1, 256), 8, 2, (9,)), {"scale": 0.1}),
    Case("8 sequences of 1k tokens", decoding((8, 2, 64), 16, 64, 8 * (1024,)), size="cpu"),
    Case(
        "llama3 8B, 64 sequences of 4k tokens",
        decoding((32, 8, 128), 16, 256, 64 * (4096,), jnp.bfloat16),
        size="gpu",
    ),
    Case(
        "llama3 8B, one sequence of 128k tokens",
        decoding((32, 8, 128), 16, 8192, (131_072,), jnp.bfloat16),
        size="gpu",
    ),
    Case(
        "gemma2 9B, 16 sequences of 8k tokens",
        decoding((16, 8, 256), 32, 256, 16 * (8192,), jnp.bfloat16),
        {"cap": 50.0},
        size="gpu",
    ),
    Case(
        "phi2, 32 sequences of 2k tokens",
        decoding((32, 32, 80), 16, 128, 32 * (2048,), jnp.bfloat16),
        size="gpu",
    ),
)


def cost(q, k_pages, v_pages, block_tables, lengths, window=None, **_) -> Cost:
    """Two products over full sequences; keys and values are read once for all query heads."""
    B, H, K = q.shape
    G, _, page, _ = k_pages.shape
    S = block_tables.shape[1] * page
    S = S if window is None else min(S, window)
    cache = 2 * B * S * G * K * k_pages.dtype.itemsize
    return Cost(4 * B * H * S * K, cache + 2 * size(q) + size(block_tables, lengths))


OPERATION = Operation(
    paged_attention_and_lse,
    reference,
    tuple(IMPLEMENTATIONS),
    CASES,
    cost,
    differentiable=(),
    passes=1,
)
