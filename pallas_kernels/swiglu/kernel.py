"""Gates: the kernels."""

import math

import jax
import jax.numpy as jnp

from pallas_kernels.rows import Rows, as_rows, launch_rows

TILE = 512  # columns of a tile


@jax.custom_jvp
def _erf(x: jax.Array) -> jax.Array:
    """Within 2e-7; Triton has no erf. Source: Abramowitz & Stegun 1964, formula 7.1.26."""
    t, tail = 1 / (1 + 0.3275911 * jnp.abs(x)), 0.0
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = (tail + coefficient) * t
    erf = 1 - tail * jnp.exp(-x * x)
    return jnp.where(x < 0, -erf, erf)


@_erf.defjvp
def _derivative_of_erf(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _erf(x), 2 / math.sqrt(math.pi) * jnp.exp(-x * x) * dx


def _gelu(x: jax.Array) -> jax.Array:
    return x * (1 + _erf(x * math.sqrt(0.5))) / 2


ACTIVATIONS = {"silu": jax.nn.silu, "gelu_tanh": jax.nn.gelu, "gelu": _gelu}


def forward(gate: jax.Array, up: jax.Array, activation: str, backend: str) -> jax.Array:
    """activation(gate) * up."""

    def body(gate: Rows, up: Rows, y: Rows):
        y.store(ACTIVATIONS[activation](gate.load()) * up.load())

    rows = [as_rows(gate), as_rows(up)]
    (y,) = launch_rows(body, rows, rows[:1], tile=TILE, backend=backend, name="gated")
    return y.reshape(gate.shape)


def backward(
    gate: jax.Array, up: jax.Array, dy: jax.Array, activation: str, backend: str
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of gate and up. The derivative of the activation is traced into the body."""

    def body(gate: Rows, up: Rows, dy: Rows, dgate: Rows, dup: Rows):
        activated, pull = jax.vjp(ACTIVATIONS[activation], gate.load())
        dy = dy.load()
        dup.store(dy * activated)
        dgate.store(*pull(dy * up.load()))

    rows = [as_rows(gate), as_rows(up), as_rows(dy)]
    dgate, dup = launch_rows(
        body, rows, rows[:2], tile=TILE, backend=backend, name="gated_backward"
    )
    return dgate.reshape(gate.shape), dup.reshape(up.shape)
