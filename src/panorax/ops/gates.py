"""Gated linear units: the product of an activated gate and a linear branch."""

from jaxtyping import Array, Float

import pallas_kernels.swiglu as kernels


def swiglu(
    gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"], implementation: str | None = None
) -> Float[Array, "*batch F"]:
    """silu(gate) * up. Source: Shazeer 2020, arXiv:2002.05202."""
    return kernels.swiglu(gate, up, implementation)


def geglu(
    gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"], implementation: str | None = None
) -> Float[Array, "*batch F"]:
    """gelu(gate) * up with the tanh form of gelu. Source: Shazeer 2020, arXiv:2002.05202."""
    return kernels.geglu(gate, up, implementation=implementation)
