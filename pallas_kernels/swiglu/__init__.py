"""Gates of feed-forward networks: SwiGLU of Llama and GEGLU of Gemma (Shazeer 2020).

    y = a(gate) up,    dgate = dy up a'(gate),    dup = dy a(gate)

    a = silu          x / (1 + e^-x)
        gelu_tanh     x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
        gelu          x (1 + erf(x / sqrt 2)) / 2

**Tiling.** Elements are independent: a program has a tile of a few thousand elements, whatever the
width, so that no program computes a long masked tail.
**Traffic.** Forward: gate and up are read, y is written, 3 N F elements. Backward: gate, up and dy
are read, two cotangents are written, 5 N F. a(gate) is computed again and not kept, which saves
N F elements of memory for every layer.
**Intensity.** About 8 operations an element against 6 bytes in bf16: the kernel is bound by memory.
Its roofline is the copy bandwidth.
"""

import functools

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.swiglu import kernel
from pallas_kernels.swiglu.reference import reference


def swiglu(gate: jax.Array, up: jax.Array, implementation: str | None = None) -> jax.Array:
    """silu(gate) * up, as `gated`."""
    return gated(gate, up, "silu", implementation)


def geglu(
    gate: jax.Array, up: jax.Array, approximate: bool = True, implementation: str | None = None
) -> jax.Array:
    """gelu(gate) * up, as `gated`; approximate: by tanh, as in `jax.nn.gelu`."""
    return gated(gate, up, "gelu_tanh" if approximate else "gelu", implementation)


def gated(
    gate: jax.Array, up: jax.Array, activation: str = "silu", implementation: str | None = None
) -> jax.Array:
    """activation(gate) * up for arrays of one shape and dtype.

    activation: silu, gelu_tanh or gelu. The kernels compute in float32, the reference in the dtype
    of the arrays. Differentiable in both arrays, by kernels in reverse mode and once. Raises
    ValueError for two shapes or dtypes, another activation, or an unknown implementation.
    """
    if (gate.shape, gate.dtype) != (up.shape, up.dtype):
        raise ValueError(
            f"gate is {gate.dtype}{gate.shape} and up {up.dtype}{up.shape}; accepted: the same"
        )
    if activation not in kernel.ACTIVATIONS:
        raise ValueError(f"no activation {activation!r}; accepted: {', '.join(kernel.ACTIVATIONS)}")
    return first_that_runs(IMPLEMENTATIONS, implementation, gate, up, activation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _gated(gate: jax.Array, up: jax.Array, activation: str, backend: str) -> jax.Array:
    return kernel.forward(gate, up, activation, backend)


def _forward(gate, up, activation, backend):
    return kernel.forward(gate, up, activation, backend), (gate, up)


def _backward(activation, backend, kept, dy):
    return kernel.backward(*kept, dy, activation, backend)


_gated.defvjp(_forward, _backward)
IMPLEMENTATIONS = {"reference": reference, **portable(_gated)}
