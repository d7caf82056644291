"""Low-rank adaptation of a frozen matrix (LoRA, Hu et al. 2021, arXiv:2106.09685).

The product of two thin matrices is added to a linear map w, which stays fixed:

    y = x w + s (x a) b,        w (I, O),  a (I, r),  b (r, O),  s = alpha / r.

The factors have r (I + O) parameters, the matrix has I O. The initial `a` is random and the initial
`b` is zero, so y is x w exactly before training. Inputs and outputs may have several axes each.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.core.spec import P
from panorax.ops.dot import product


@struct.dataclass
class LowRank:
    """A weight of `dot`: the map w + scale * a b, with the axes of stacked layers first.

    w: (*layers, *inputs, *outputs), an array or another type that `product` has registered.
    a: (*layers, *inputs, r).  b: (*layers, r, *outputs).  scale: a Python number, alpha / r.
    `jax.lax.scan` over layers and `jax.vmap` take one slice of each array.
    """

    w: Any
    a: Any
    b: Any
    scale: float = dataclasses.field(metadata={"pytree_node": False})


@product.register(LowRank)
def _(w, x, inputs: int, dtype):
    """x w + scale (x a) b, every product in the dtype of `x`; a b is never formed."""
    low_rank = product(w.b, product(w.a, x, inputs, None), 1, dtype)
    return product(w.w, x, inputs, dtype) + w.scale * low_rank


def low_rank_factors(p: P, rank: int) -> dict[str, P]:
    """Declarations of `a` and `b` for a matrix `p`, one pair for each of its stacked layers.

    `a` is normal with variance 1 / I, so x a has the scale of x; `b` is zero.
    """
    layers = 1 if p.axes[0] == "layers" else 0
    outputs = len(p.shape) - p.outputs
    normal = jax.nn.initializers.normal(math.prod(p.shape[layers:outputs]) ** -0.5)
    a_shape, a_axes = (*p.shape[:outputs], rank), (*p.axes[:outputs], "rank")
    b_shape = (*p.shape[:layers], rank, *p.shape[outputs:])
    b_axes = (*p.axes[:layers], "rank", *p.axes[outputs:])
    return {
        "a": P(a_shape, a_axes, normal),
        "b": P(b_shape, b_axes, jax.nn.initializers.zeros, outputs=p.outputs),
    }


def merged(weight):
    """w + scale * a b of a LowRank weight, summed in float32; any other weight unchanged."""
    if not isinstance(weight, LowRank):
        return weight
    w, a, b = weight.w, weight.a.astype(jnp.float32), weight.b.astype(jnp.float32)

    def contract(a, b):
        return jnp.tensordot(a, b, 1, precision=jax.lax.Precision.HIGHEST)

    for _ in range(a.ndim + b.ndim - 2 - w.ndim):  # the axes of stacked layers
        contract = jax.vmap(contract)
    return (w.astype(jnp.float32) + weight.scale * contract(a, b)).astype(w.dtype)


def merged_tree(params):
    """A tree of parameters with every LowRank weight merged."""
    return jax.tree.map(merged, params, is_leaf=lambda x: isinstance(x, LowRank))
