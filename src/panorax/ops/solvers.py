"""Solvers of dx/dt = f(t, x): Euler and Heun on a given grid of times, Dormand-Prince with its own steps.

`f(t, x)` takes a float32 scalar and a pytree and returns a pytree like x. Times may run either way. The grid solvers are differentiable in
reverse mode; Dormand-Prince, a `while_loop`, in forward mode only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core import struct

Scalar = float | Float[Array, ""]


def euler(f: Callable, x0, ts: Float[Array, " n"]):
    """x(ts[-1]) from x(ts[0]) = x0 by x <- x + h f(t, x), n - 1 evaluations of f; the error is O(h)."""

    def step(x, interval):
        t, h = interval
        return _axpy(h, f(t, x), x), None

    return jax.lax.scan(step, x0, (ts[:-1], jnp.diff(ts)))[0]


def heun(f: Callable, x0, ts: Float[Array, " n"]):
    """As `euler`, with x <- x + h/2 (k1 + k2), k1 = f(t, x), k2 = f(t + h, x + h k1): 2 (n - 1) evaluations, error O(h^2)."""

    def step(x, interval):
        t, h = interval
        k1 = f(t, x)
        k2 = f(t + h, _axpy(h, k1, x))
        return _axpy(h / 2, jax.tree.map(jnp.add, k1, k2), x), None

    return jax.lax.scan(step, x0, (ts[:-1], jnp.diff(ts)))[0]


@struct.dataclass
class Solution:
    """x at the end; evaluations of f; steps accepted; whether the end was reached within `max_steps` with finite values."""

    x: Any
    evaluations: Array
    accepted: Array
    reached: Array


# Dormand & Prince 1980: nodes, stages, and the difference of the 5th- and 4th-order weights. The last stage is f at the new point.
C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class _Step(NamedTuple):
    """State of `dopri5` before a step."""

    t: Array
    """time"""
    h: Array
    """next step size"""
    x: Any
    """x(t)"""
    slope: Any
    """f(t, x)"""
    tried: Array
    """number of steps tried"""
    accepted: Array
    """number of steps accepted"""


def dopri5(
    f: Callable,
    x0,
    t0: Scalar,
    t1: Scalar,
    rtol: Scalar = 1e-5,
    atol: Scalar = 1e-6,
    max_steps: int = 1000,
) -> Solution:
    """x(t1) from x(t0) = x0 by the 5(4) pair of Dormand & Prince 1980, six evaluations of f a step (first same as last).

    A step is accepted when the root mean square over all entries of error / (atol + rtol max(|x|, |x_new|)) is at most 1; the next is
    0.9 error^(-1/5) times as long, between 0.2 and 10 times (Hairer, Norsett & Wanner, Solving ODEs I, section II.4). Values that are
    not finite count as an error too large, so the step shrinks.
    """
    t0, t1 = jnp.asarray(t0, jnp.float32), jnp.asarray(t1, jnp.float32)
    k0 = f(t0, x0)

    def body(state: _Step) -> _Step:
        t, x, remaining = state.t, state.x, t1 - state.t
        h = jnp.where(jnp.abs(state.h) > jnp.abs(remaining), remaining, state.h)
        new, ks = runge_kutta(f, x, t, h, state.slope)
        error = _scaled_error(_weighted(h, E, ks), x, new, rtol, atol)
        error = jnp.where(jnp.isfinite(error), error, 1e10)
        good = error <= 1
        keep = lambda a, b: jax.tree.map(lambda a, b: jnp.where(good, a, b), a, b)
        factor = jnp.clip(0.9 * jnp.maximum(error, 1e-10) ** -0.2, 0.2, 10.0)
        t = jnp.where(good, jnp.where(h == remaining, t1, t + h), t)
        slope = keep(ks[-1], state.slope)
        return _Step(t, h * factor, keep(new, x), slope, state.tried + 1, state.accepted + good)

    unfinished = lambda state: (state.t != t1) & (state.tried < max_steps)
    start = _Step(t0, _first_step(x0, k0, t1 - t0, rtol, atol), x0, k0, 0, 0)
    end = jax.lax.while_loop(unfinished, body, start)
    return Solution(end.x, 1 + 6 * end.tried, end.accepted, end.t == t1)


def runge_kutta(f: Callable, x, t: Scalar, h: Scalar, k1) -> tuple[Any, list]:
    """One step of the pair of Dormand & Prince from f(t, x) = k1: the 5th-order x at t + h, and all seven stages."""
    ks = [k1]
    for c, a in zip(C[1:], A[1:]):
        point = jax.tree.map(jnp.add, x, _weighted(h, a, ks))
        ks.append(f(t + c * h, point))
    return point, ks


def _first_step(x, k, span, rtol, atol):
    """A hundredth of |x| / |f| in scaled norms, at most the whole span."""
    zero = jax.tree.map(jnp.zeros_like, x)
    size, slope = (_scaled_error(v, x, zero, rtol, atol) for v in (x, k))
    return jnp.sign(span) * jnp.minimum(
        jnp.abs(span), 0.01 * jnp.maximum(size, 1e-3) / jnp.maximum(slope, 1e-10)
    )


def _scaled_error(error, x, new, rtol, atol):
    square = lambda e, a, b: jnp.sum(
        jnp.square(e.astype(jnp.float32) / (atol + rtol * jnp.maximum(jnp.abs(a), jnp.abs(b))))
    )
    leaves = jax.tree.leaves(jax.tree.map(square, error, x, new))
    return jnp.sqrt(sum(leaves) / sum(leaf.size for leaf in jax.tree.leaves(x)))


def _weighted(h, weights, ks):
    """h sum_i weights_i ks_i."""
    return jax.tree.map(lambda *k: h * sum(w * k for w, k in zip(weights, k) if w), *ks)


def _axpy(h, k, x):
    return jax.tree.map(lambda k, x: x + h * k, k, x)
