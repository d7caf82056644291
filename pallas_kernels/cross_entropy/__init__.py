"""Linear cross-entropy: the last layer of a language model and its loss, without logits in HBM.

    z = x w (or cap tanh(x w / cap)),   lse = log sum_v e^(z_v)
    loss = lse - (1 - s) z_label - s / V sum_v z_v + c lse^2
    dz = g ((1 + 2 c lse) softmax(z) - (1 - s) onehot(label) - s / V),   dx = dz w^T,   dw = x^T dz

With a cap, dz is multiplied by 1 - (z / cap)^2. s smooths the target (Szegedy et al. 2015,
arXiv:1512.00567), c is the weight of the z-loss, which keeps lse near 0 (Chowdhery et al. 2022,
arXiv:2204.02311, section 5), g is the weight of the token.

**Two forms.** `linear_cross_entropy_sum` returns sum_t g_t loss_t. It knows g in the forward pass,
so it computes the gradients there, from the logits that it has (Liger, arXiv:2410.10989): three
products, as many as the plain loss. The backward pass multiplies them by one number. Training takes
this form, for a mean over tokens too. `linear_cross_entropy` returns the loss of each token; g is
then its cotangent, which only the backward pass knows. There the same loop runs: four products with
that of the loss. Without gradients both forms compute one product.
**Tiling.** A program computes the logits of 128 tokens and 128 classes by tensor cores, and writes
four numbers a token: maximum, sum of exponentials, logit of the label, sum. XLA adds up the V / 128
parts of a token. For gradients, tokens come in chunks of about D. The programs of a chunk also
write its logits z [C, V] in float32; XLA turns them into dz elementwise, and two matrix products
read dz, one for dx and one that adds to dw. No program writes what another program writes, so there
are no atomics, and two runs give the same gradient bit for bit.
**Why in chunks.** A kernel that keeps dz on chip must hold dx [128, D] or dw [D, 128] in float32,
which no register file does for D of thousands, or recompute z for each part of D.
**Why z is stored.** A second kernel could compute z again and write dz alone, 8 N V bytes less for
2 N D V operations more. On an H100 these take equal time at D of about 1,200; above, storing z is
faster. In bf16 z would take half the bytes, but at z = 10 its rounding, up to 2^-9 z, would change
softmax(z) by 2%.
**Traffic.** Plain logits in float32 are written once and read about five times, 24 N V bytes. Here
a chunk's z is written and read once in float32, dz is written once and read twice in bf16, dw is
read and written in float32 and w is read twice: 8 + 6 + 8 + 4 = 26 N V bytes.
**Memory.** 6 C V bytes for z and dz in bf16, three times the size of w, beside x, w and their
gradients; the sum keeps its gradients from the forward to the backward pass.
**Intensity.** 6 N D V operations against 26 N V bytes: bound by tensor cores for D above about
1,300 (H100). The roofline is the rate of a large matrix product.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from pallas_kernels.choice import PORTABLE, first_that_runs
from pallas_kernels.cross_entropy import chunked, kernel
from pallas_kernels.cross_entropy.formula import Options, loss_of
from pallas_kernels.cross_entropy.reference import reference, reference_sum

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
    options = Options(smoothing, z_loss, ignore, cap)
    _check(x, w, labels, options)
    chosen = _chosen(w, implementation)
    return first_that_runs(IMPLEMENTATIONS, chosen, x, w, labels, **options._asdict())


def linear_cross_entropy_sum(
    x: jax.Array,
    w: jax.Array,
    labels: jax.Array,
    weights: jax.Array | None = None,
    *,
    smoothing: float = 0.0,
    z_loss: float = 0.0,
    ignore: int | None = -100,
    cap: float | None = None,
    implementation: str | None = None,
) -> jax.Array:
    """sum_t weights_t loss_t of the losses of `linear_cross_entropy`, a float32 number.

    weights: numbers with the shape of `labels`, such as a mask or importance weights; None for 1.

    Differentiable in x, w and weights, in reverse mode; one product cheaper than the gradients of
    `linear_cross_entropy`, which documents the other arguments. A weight of 0 does not hide a loss
    of NaN, the label `ignore` does. Raises ValueError for weights of another shape, and whatever
    `linear_cross_entropy` raises.
    """
    options = Options(smoothing, z_loss, ignore, cap)
    _check(x, w, labels, options)
    if weights is not None and weights.shape != labels.shape:
        raise ValueError(f"weights are {labels.shape} like labels; got {weights.shape}")
    chosen = _chosen(w, implementation)
    return first_that_runs(SUMS, chosen, x, w, labels, weights, **options._asdict())


def _check(x, w, labels, options: Options):
    if x.shape[:-1] != labels.shape or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"x is (..., D), w (D, V) and labels (...); got {x.shape}, {w.shape}, {labels.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels are integers, not {labels.dtype}")
    smoothing, cap = options.smoothing, options.cap
    if not 0 <= smoothing <= 1 or (cap is not None and cap <= 0):
        raise ValueError(f"0 <= smoothing <= 1 and cap > 0; got {smoothing} and {cap}")


def _chosen(w, implementation: str | None) -> str | None:
    is_small = w.shape[1] <= SMALL * w.shape[0]
    return "reference" if implementation is None and is_small else implementation


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _losses(x, w, labels, options: Options, backend: str):
    """Loss [N] of x [N, D], w [D, V] and labels [N]; one product."""
    of = _part("statistics", backend)(x, w.astype(x.dtype), labels, options)
    return loss_of(of, labels, w.shape[1], options)


def _losses_forward(x, w, labels, options, backend):
    return _losses(x, w, labels, options, backend), (x, w, labels)


def _losses_backward(options, backend, saved, g):
    """Three products: the cotangents are the weights of the sum."""
    _, dx, dw = _losses_and_gradients(*saved, g, options, backend)
    return dx, dw, None


_losses.defvjp(_losses_forward, _losses_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _sum(x, w, weights, labels, options: Options, backend: str):
    """sum_t weights_t loss_t; one product."""
    return jnp.sum(_losses(x, w, labels, options, backend) * weights)


def _sum_forward(x, w, weights, labels, options, backend):
    """Three products."""
    losses, dx, dw = _losses_and_gradients(x, w, labels, weights, options, backend)
    return jnp.sum(losses * weights), (dx, dw, losses)


def _sum_backward(options, backend, gradients, g):
    return *((g * x).astype(x.dtype) for x in gradients), None


_sum.defvjp(_sum_forward, _sum_backward)


def _losses_and_gradients(x, w, labels, weights, options, backend):
    """Losses, and the gradients of their weighted sum in the dtypes of x and w."""
    narrow, of_chunk = w.astype(x.dtype), _part("logits_and_statistics", backend)
    losses, dx, dw = chunked.losses_and_gradients(x, narrow, labels, weights, options, of_chunk)
    return losses, dx, dw.astype(w.dtype)


def _part(name: str, backend: str) -> Callable:
    if backend == "xla":
        return getattr(chunked, name)
    return functools.partial(getattr(kernel, name), backend=backend)


def _losses_on(backend: str) -> Callable:
    """Losses on one backend, for any number of leading axes."""

    def run(x, w, labels, **options):
        flat = (x.reshape(-1, x.shape[-1]), w, labels.reshape(-1))
        return _losses(*flat, Options(**options), backend).reshape(labels.shape)

    return run


def _sum_on(backend: str) -> Callable:
    """The sum on one backend, for any number of leading axes."""

    def run(x, w, labels, weights, **options):
        wide = jnp.promote_types(x.dtype, jnp.float32)
        weights = jnp.ones_like(labels, wide) if weights is None else weights.astype(wide)
        flat = (x.reshape(-1, x.shape[-1]), w, weights.reshape(-1), labels.reshape(-1))
        return _sum(*flat, Options(**options), backend)

    return run


BACKENDS = ("xla", *PORTABLE)
IMPLEMENTATIONS = {"reference": reference, **{name: _losses_on(name) for name in BACKENDS}}
SUMS = {"reference": reference_sum, **{name: _sum_on(name) for name in BACKENDS}}
