"""Linear cross-entropy: the arguments of tests and benchmarks."""

import jax
import jax.numpy as jnp

from pallas_kernels.cross_entropy import IMPLEMENTATIONS, linear_cross_entropy, reference
from pallas_kernels.operation import Case, Cost, Operation, size


def tokens(N: int, D: int, V: int, dtype=jnp.float32):
    """Hidden states, an output projection that gives logits of variance 1, and labels.

    Every fourth label is ignored.
    """

    def arguments(key):
        key_x, key_w, key_labels = jax.random.split(key, 3)
        x = jax.random.normal(key_x, (N, D)).astype(dtype)
        w = (jax.random.normal(key_w, (D, V)) * D**-0.5).astype(dtype)
        labels = jax.random.randint(key_labels, (N,), 0, V)
        return x, w, jnp.where(jnp.arange(N) % 4 == 3, -100, labels)

    return arguments


EVERY = {"smoothing": 0.1, "z_loss": 1e-2, "cap": 2.0}
CASES = (
    Case("odd sizes", tokens(750, 33, 150), EVERY),
    Case("plain", tokens(5, 8, 3)),
    Case("no token", tokens(0, 8, 16)),
    Case("bfloat16", tokens(24, 64, 130, jnp.bfloat16), {"ignore": None}),
    Case("1k tokens, 16k classes", tokens(1024, 256, 16_384), size="cpu"),
    Case("llama3 8B, 8k tokens", tokens(8192, 4096, 128_256, jnp.bfloat16), size="gpu"),
    Case("gemma2 2B, 4k tokens", tokens(4096, 2304, 256_000, jnp.bfloat16), EVERY, size="gpu"),
    Case("gpt2, 16k tokens", tokens(16_384, 768, 50_257, jnp.bfloat16), size="gpu"),
)


def cost(x, w, labels, **options) -> Cost:
    """One matrix product; x, w and labels are read, a loss per token is written."""
    return Cost(2 * x.size * w.shape[1], size(x, w, labels) + 4 * labels.size)


OPERATION = Operation(
    linear_cross_entropy, reference, tuple(IMPLEMENTATIONS), CASES, cost, differentiable=(0, 1)
)
