"""Linear cross-entropy: the last layer of a language model and its loss, without logits in HBM.

    z = x w (or cap tanh(x w / cap)),   lse = log sum_v e^(z_v)
    loss = lse - (1 - s) z_label - s / V sum_v z_v + c lse^2
    dz = g ((1 + 2 c lse) softmax(z) - (1 - s) onehot(label) - s / V),   dx = dz w^T,   dw = x^T dz

With a cap, dz is multiplied by 1 - (z / cap)^2. s smooths the target (Szegedy et al. 2015,
arXiv:1512.00567), c is the weight of the z-loss, which keeps lse near 0 (Chowdhery et al. 2022,
arXiv:2204.02311, section 5).

**Tiling.** Forward: a program computes the logits of 128 tokens and 128 classes by tensor cores,
and writes four numbers a token: maximum, sum of exponentials, logit of the label, sum. XLA adds up
the V / 128 parts of a token. Backward: tokens come in chunks of about D. A kernel computes the
logits of a chunk again and writes dz [C, V]; two matrix products read it, one for dx and one that
adds to dw. No program writes what another program writes, so there are no atomics, and two runs
give the same gradient bit for bit.
**Why in chunks.** A kernel that keeps dz on chip must hold dx [128, D] or dw [D, 128] in float32,
which no register file does for D of thousands, or recompute z for each part of D. Computing the
gradients in the forward pass (Liger, arXiv:2410.10989) saves one of the four products. It needs the
weight of every token beforehand, so it gives a mean and not a loss for each token.
**Traffic.** Plain logits in float32 are written once and read about five times, 24 N V bytes. Here
a chunk's dz in bf16 is written once and read twice, dw is read and written in float32 and w is read
twice: 6 + 8 + 4 = 18 N V bytes.
**Memory.** C V elements, about the size of w, beside x, w and their gradients.
**Intensity.** 8 N D V operations against 18 N V bytes: bound by tensor cores for D above about 700
(H100). The roofline is the rate of a large matrix product, for four products where the plain loss
has three.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from pallas_kernels.choice import PORTABLE, first_that_runs
from pallas_kernels.cross_entropy import chunked, kernel
from pallas_kernels.cross_entropy.formula import Options, loss_of
from pallas_kernels.cross_entropy.reference import reference

SMALL = 4  # classes for each feature, up to which logits are materialised by default


def linear_cross_entropy(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    *,
    smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore: int | None = -100,
    cap: float | None = None,
    implementation: str | None = None,
) -> jax.Array:
    """Cross entropy in nats of each label under softmax(x w), float32 with the shape of `labels`.

    x: (..., D).  w: (D, V), cast to the dtype of x.  labels: integers (...).
    smoothing: share s of the target that is spread evenly over the classes.
    z_loss: weight of the squared log-sum-exp.
    ignore: label of tokens without loss and gradient; None if every label counts.
    cap: bound of the logits, cap tanh(z / cap) as in Gemma 2; None leaves them unbounded.

    implementation: by default the reference if V is at most 4 D, on every machine: its logits are
    then no larger than the activations of a layer.

    Any other label outside 0 .. V - 1 makes the loss NaN. Differentiable in x and w, in reverse
    mode. Raises ValueError for shapes that do not fit, labels that are no integers, a smoothing
    outside 0 .. 1, a cap that is not positive, or an unknown implementation.
    """
    if x.shape[:-1] != labels.shape or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"x is (..., D), w (D, V) and labels (...); got {x.shape}, {w.shape}, {labels.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels are integers, not {labels.dtype}")
    if not 0 <= smoothing <= 1 or (cap is not None and cap <= 0):
        raise ValueError(f"0 <= smoothing <= 1 and cap > 0; got {smoothing} and {cap}")
    options = Options(smoothing, z_loss, ignore, cap)
    if implementation is None and w.shape[1] <= SMALL * w.shape[0]:
        implementation = "reference"
    return first_that_runs(IMPLEMENTATIONS, implementation, x, w, labels, **options._asdict())


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _loss(x, w, labels, options: Options, backend: str):
    """Loss [N] of x [N, D], w [D, V] and labels [N]."""
    return _forward(x, w, labels, options, backend)[0]


def _forward(x, w, labels, options, backend):
    of = _part("statistics", backend)(x, w.astype(x.dtype), labels, options)
    return loss_of(of, labels, w.shape[1], options), (x, w, labels, of.lse)


def _backward(options, backend, saved, g):
    x, w, labels, lse = saved
    dlogits = _part("chunk_dlogits", backend)
    dx, dw = chunked.gradients(x, w.astype(x.dtype), labels, lse, g, options, dlogits)
    return dx, dw.astype(w.dtype), None


_loss.defvjp(_forward, _backward)


def _part(name: str, backend: str) -> Callable:
    if backend == "xla":
        return getattr(chunked, name)
    return functools.partial(getattr(kernel, name), backend=backend)


def _on(backend: str) -> Callable:
    """The implementation on one backend, for any number of leading axes."""

    def run(x, w, labels, **options):
        loss = _loss(x.reshape(-1, x.shape[-1]), w, labels.reshape(-1), Options(**options), backend)
        return loss.reshape(labels.shape)

    return run


IMPLEMENTATIONS = {
    "reference": reference,
    **{backend: _on(backend) for backend in ("xla", *PORTABLE)},
}
