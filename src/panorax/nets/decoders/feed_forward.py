"""Feed-forward networks of a decoder's layer, with or without a gate.

    Gated      W_down (a(W_gate h) * W_up h)        3 D F parameters
    Plain      W_down a(W_up h)                     2 D F parameters

At equal parameters a plain network is 3/2 times as wide.
Source: Shazeer 2020, arXiv:2002.05202; So et al. 2021, arXiv:2109.08668 (squared ReLU).
"""

from typing import Literal

import jax

from panorax.core.ranges import checked
from panorax.core.spec import P
from panorax.ops import gates
from panorax.ops.dot import dot

GATES = {
    "sigmoid": gates.glu,
    "none": gates.bilinear,
    "relu": gates.reglu,
    "gelu": gates.geglu,
    "silu": gates.swiglu,
}
ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu, "squared-relu": gates.squared_relu}


@checked
class Gated:
    """A gated linear unit, such as SwiGLU, between two products."""

    activation: Literal["sigmoid", "none", "relu", "gelu", "silu"] = "silu"
    """activation of the gate: sigmoid (GLU), none (bilinear), relu (ReGLU), gelu by tanh (GEGLU) or
    silu (SwiGLU)"""

    def spec(self, cfg, to_residual) -> dict[str, P]:
        """Parameters of a layer; `to_residual` initialises the output projection."""
        D, F = cfg.d_model, cfg.d_ff
        normal = jax.nn.initializers.normal(D**-0.5)
        return {
            "gate": P((D, F), ("embed", "mlp"), normal),
            "up": P((D, F), ("embed", "mlp"), normal),
            "down": P((F, D), ("mlp", "embed"), to_residual),
        }

    def apply(self, h_BTD, layer):
        """Output (B, T, D)."""
        gated = GATES[self.activation]
        return dot(gated(dot(h_BTD, layer["gate"]), dot(h_BTD, layer["up"])), layer["down"])


@checked
class Plain:
    """An activation between two products."""

    activation: Literal["relu", "gelu", "squared-relu"] = "relu"
    """activation: relu, gelu by tanh, or the square of relu"""

    def spec(self, cfg, to_residual) -> dict[str, P]:
        """Parameters of a layer; `to_residual` initialises the output projection."""
        D, F = cfg.d_model, cfg.d_ff
        normal = jax.nn.initializers.normal(D**-0.5)
        return {
            "up": P((D, F), ("embed", "mlp"), normal),
            "down": P((F, D), ("mlp", "embed"), to_residual),
        }

    def apply(self, h_BTD, layer):
        """Output (B, T, D)."""
        return dot(ACTIVATIONS[self.activation](dot(h_BTD, layer["up"])), layer["down"])
