"""The last product of a language model as a value, so that its loss need not materialise logits.

For N tokens and a vocabulary V the logits take 4 N V bytes, often more than all other activations
together. Above V = 4 D, `cross_entropy_sum` computes those of an `Unembedding` in parts, once, and
their gradients with them; `logits()` computes all.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pallas_kernels import cross_entropy as kernels
from panorax.core import struct
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards, sum_over_rows
from panorax.core.step import axes_of, copies
from panorax.ops.attention import soft_cap
from panorax.ops.dot import dot
from panorax.ops.losses import cross_entropy


@struct.dataclass
class Unembedding:
    """Logits cap tanh(x w / cap), or x w if `cap` is None.

    x: hidden states after the last norm, (*batch, D).  w: output projection, (D, V).
    """

    x: Float[Array, "*batch D"]
    w: Float[Array, "D V"]
    cap: float | None = dataclasses.field(default=None, metadata={"pytree_node": False})

    def logits(self) -> Float[Array, "*batch V"]:
        """The logits in float32; the product takes operands in the dtype of x."""
        return soft_cap(dot(self.x, self.w.astype(self.x.dtype), dtype=jnp.float32), self.cap)


def cross_entropy_sum(
    logits: Float[Array, "*batch V"] | Unembedding,
    label: Int[Array, "*batch"],
    weight: Float[Array, "*batch"] | None = None,
    implementation: str | None = None,
) -> Float[Array, ""]:
    """Sum of -weight log softmax(logits)[label], in nats and float32; every weight is 1 if None.

    The gradients of an Unembedding are computed with its loss (`pallas_kernels.cross_entropy`,
    which documents `implementation`). On a mesh every device computes those of its own rows, and
    with a kernel those of its share of the tokens.
    """
    if not isinstance(logits, Unembedding):
        loss = cross_entropy(logits, label)
        return jnp.sum(loss if weight is None else loss * weight)

    def of_rows(x, label, weight, w):
        options = {"ignore": None, "cap": logits.cap, "implementation": implementation}
        return kernels.linear_cross_entropy_sum(x, w, label, weight, **options)

    def of_device(*arrays):
        *rows, w = copies(arrays, axes_of(arrays))
        return sum_over_rows(of_rows, rows, w).reshape((1,) * label.ndim)

    weight = jnp.ones(label.shape) if weight is None else weight
    split = (BATCH_AXES, TENSOR_AXES)[: label.ndim]
    arrays, splits = (logits.x, label, weight, logits.w), (split, split, split, ())
    return jnp.sum(by_shards(of_device, arrays, splits, implementation))
