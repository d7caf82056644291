"""Gated linear units: the product of an activated gate and a linear branch."""

from jaxtyping import Array, Float

import pallas_kernels.swiglu as kernels
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards


def swiglu(
    gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"], implementation: str | None = None
) -> Float[Array, "*batch F"]:
    """silu(gate) * up. Source: Shazeer 2020, arXiv:2002.05202."""
    return _gated(gate, up, "silu", implementation)


def geglu(
    gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"], implementation: str | None = None
) -> Float[Array, "*batch F"]:
    """gelu(gate) * up with the tanh form of gelu. Source: Shazeer 2020, arXiv:2002.05202."""
    return _gated(gate, up, "gelu_tanh", implementation)


def _gated(gate, up, activation: str, implementation: str | None):
    """The gate of rows and columns that a mesh splits."""
    run = lambda gate, up: kernels.gated(gate, up, activation, implementation)
    between = ((),) * (gate.ndim - 2)
    split = (BATCH_AXES, *between, TENSOR_AXES) if gate.ndim > 1 else (TENSOR_AXES,)
    return by_shards(run, (gate, up), (split, split), implementation)
