"""Gates: the definition."""

import functools

import jax

ACTIVATIONS = {
    "silu": jax.nn.silu,
    "gelu_tanh": jax.nn.gelu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


def reference(gate: jax.Array, up: jax.Array, activation: str = "silu") -> jax.Array:
    """activation(gate) * up in the dtype of the arrays."""
    return ACTIVATIONS[activation](gate) * up
