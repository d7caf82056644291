"""Gated linear units: the product of an activated gate and a linear branch.

Source: Shazeer 2020, arXiv:2002.05202.
"""

import jax
import jax.numpy as jnp
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


def glu(gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"]) -> Float[Array, "*batch F"]:
    """sigmoid(gate) * up, the first gated linear unit. Source: Dauphin et al. 2017."""
    return jax.nn.sigmoid(gate) * up


def reglu(gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"]) -> Float[Array, "*batch F"]:
    """relu(gate) * up. Source: Shazeer 2020, arXiv:2002.05202."""
    return jax.nn.relu(gate) * up


def bilinear(
    gate: Float[Array, "*batch F"], up: Float[Array, "*batch F"]
) -> Float[Array, "*batch F"]:
    """gate * up, without an activation. Source: Shazeer 2020, arXiv:2002.05202."""
    return gate * up


def squared_relu(x: Float[Array, "*batch F"]) -> Float[Array, "*batch F"]:
    """relu(x)^2. Source: So et al. 2021, arXiv:2109.08668 (Primer)."""
    return jnp.square(jax.nn.relu(x))


def _gated(gate, up, activation: str, implementation: str | None):
    """The gate of rows and columns that a mesh splits."""
    run = lambda gate, up: kernels.gated(gate, up, activation, implementation)
    between = ((),) * (gate.ndim - 2)
    split = (BATCH_AXES, *between, TENSOR_AXES) if gate.ndim > 1 else (TENSOR_AXES,)
    return by_shards(run, (gate, up), (split, split), implementation)
