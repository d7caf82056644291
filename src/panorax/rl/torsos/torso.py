"""A torso as a value, and the layer normalisation that all torsos share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core.spec import P
from panorax.ops.norms import layer_norm


@dataclass(frozen=True)
class Torso:
    """A network that maps views to features.

    apply(params, view) -> features: a view is (*batch, *shape), features are (*batch, width).
    """

    spec: Any
    """parameters, a tree of P"""
    apply: Callable
    """network, as above"""
    width: int
    """number of features"""


def norm_spec(width: int) -> dict[str, P]:
    """Scale and bias of a layer norm over `width` features."""
    return {
        "scale": P((width,), ("outputs",), jax.nn.initializers.ones),
        "bias": P((width,), ("outputs",), jax.nn.initializers.zeros),
    }


def normalized(params, x: jax.Array) -> jax.Array:
    """`x` after the layer norm `params["norm"]`; unchanged if the layer has none."""
    if "norm" not in params:
        return x
    return layer_norm(x, params["norm"]["scale"], params["norm"]["bias"], 1e-6)
