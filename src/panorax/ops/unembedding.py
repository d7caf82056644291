"""The last product of a language model as a value, so that its loss need not materialise logits.

For N tokens and a vocabulary V the logits take 4 N V bytes, often more than all other activations
together. Above V = 4 D, `token_loss` computes those of an `Unembedding` in parts; `logits()`
computes all.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pallas_kernels import cross_entropy as kernels
from panorax.core import struct
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_rows, by_shards
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


def token_loss(
    logits: Float[Array, "*batch V"] | Unembedding, label: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """-log softmax(logits)[label] in nats and float32, from logits or from an Unembedding."""
    if isinstance(logits, Unembedding):
        return linear_cross_entropy(logits.x, logits.w, label, ignore=None, cap=logits.cap)
    return cross_entropy(logits, label)


def linear_cross_entropy(
    x: Float[Array, "*batch D"],
    w: Float[Array, "D V"],
    label: Int[Array, "*batch"],
    *,
    smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore: int | None = -100,
    cap: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "*batch"]:
    """Cross entropy of softmax(x w); above V = 4 D, without all logits at once.

    The arguments are those of `pallas_kernels.cross_entropy.linear_cross_entropy`. On a mesh every
    device computes the losses of its own rows, and with a kernel those of its share of the tokens.
    """

    def loss(label, x, w):
        return kernels.linear_cross_entropy(
            x,
            w,
            label,
            smoothing=smoothing,
            z_loss=z_loss,
            ignore=ignore,
            cap=cap,
            implementation=implementation,
        )

    def of_rows(label, x, w):
        return by_rows(loss, (label, x), copies(w, axes_of(x)))

    split = (BATCH_AXES, TENSOR_AXES)[: label.ndim]
    return by_shards(of_rows, (label, x, w), (split, split, ()), implementation)
