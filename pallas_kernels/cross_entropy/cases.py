"""Linear cross-entropy: the arguments of tests and benchmarks."""

import jax
import jax.numpy as jnp

from pallas_kernels.cross_entropy import SUMS, linear_cross_entropy_sum, reference_sum
from pallas_kernels.operation import Case, Cost, Operation, size


def tokens(N: int, D: int, V: int, dtype=jnp.float32):
    """Hidden states, an output projection that gives logits of variance 1, labels and weights.

    Every fourth label is ignored. Weights are uniform in 0 .. 1.
    """

    def arguments(key):
        key_x, key_w, key_labels, key_weights = jax.random.split(key, 4)
        x = jax.random.normal(key_x, (N, D)).astype(dtype)
        w = (jax.random.normal(key_w, (D, V)) * D**-0.5).astype(dtype)
        labels = jax.random.randint(key_labels, (N,), 0, V)
        labels = jnp.where(jnp.arange(N) % 4 == 3, -100, labels)
        of_tokens = (labels, jax.random.uniform(key_weights, (N,)))
        return (x, w, *of_tokens)

    return arguments


EVERY = {"smoothing": 0.1, "z_loss": 1e-2, "cap": 2.0}
CASES = (
    Case("odd sizes", tokens(750, 33, 150), EVERY),
    Case("plain", tokens(5, 8, 3)),
    Case("no token", tokens(0, 8, 16)),
    Case("bfloat16", tokens(24, 64, 130, jnp.bfloat16)),
    Case("1k tokens, 16k classes", tokens(1024, 256, 16_384), size="cpu"),
    Case("llama3 8B, 8k tokens", tokens(8192, 4096, 128_256, jnp.bfloat16), size="gpu"),
    Case("gemma2 2B, 4k tokens", tokens(4096, 2304, 256_000, jnp.bfloat16), EVERY, size="gpu"),
    Case("gpt2, 16k tokens", tokens(16_384, 768, 50_257, jnp.bfloat16), size="gpu"),
)


def cost(x, w, labels, weights, **options) -> Cost:
    """One matrix product; all arguments are read, a number is written."""
    return Cost(2 * x.size * w.shape[1], size(x, w, labels, weights) + 4)


OPERATION = Operation(
    linear_cross_entropy_sum, reference_sum, tuple(SUMS), CASES, cost, differentiable=(0, 1, 3)
)
"""The sum, with which language models train; the gradient of the weights is the loss of a token."""
