"""Solvers of dx/dt = f(t, x): Euler and Heun on a time grid, Dormand-Prince with adaptive steps.

`f(t, x)` takes a float32 scalar and a pytree x, and returns a pytree with the structure of x. Times
may increase or decrease. The grid solvers are differentiable in reverse mode; Dormand-Prince, a
`while_loop`, only in forward mode.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core import struct

Scalar = float | Float[Array, ""]


def euler(f: Callable, x0, ts: Float[Array, " n"]):
    """x(ts[-1]) from x(ts[0]) = x0 by x <- x + h f(t, x), with n - 1 evaluations and error O(h)."""

    def step(x, interval):
        t, h = interval
        return _axpy(h, f(t, x), x), None

    return jax.lax.scan(step, x0, (ts[:-1], jnp.diff(ts)))[0]


def heun(f: Callable, x0, ts: Float[Array, " n"]):
    """x(ts[-1]) from x(ts[0]) = x0 by x <- x + h/2 (k1 + k2), with 2 (n - 1) evaluations.

    k1 = f(t, x) and k2 = f(t + h, x + h k1); the error is O(h^2).
    """

    def step(x, interval):
        t, h = interval
        k1 = f(t, x)
        k2 = f(t + h, _axpy(h, k1, x))
        return _axpy(h / 2, jax.tree.map(jnp.add, k1, k2), x), None

    return jax.lax.scan(step, x0, (ts[:-1], jnp.diff(ts)))[0]


@struct.dataclass
class Solution:
    """Solution of an initial value problem at the end time."""

    x: Any
    """x at the end time, or after the last accepted step if `reached` is False"""
    evaluations: Array
    """number of evaluations of f"""
    accepted: Array
    """number of accepted steps"""
    reached: Array
    """True if the solver reached the end time within `max_steps`"""


# Dormand & Prince 1980: nodes, stages, and the difference of the weights of orders 5 and 4. The
# last stage is f at the new point.
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
    """current time"""
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
    """x(t1) from x(t0) = x0 by the 5(4) pair of Dormand & Prince 1980, with adaptive steps.

    Let e be the root mean square of error / (atol + rtol max(|x|, |x_new|)) over all entries. A
    step is accepted if e <= 1. The next step is 0.9 e^(-1/5) times as long, clipped to [0.2, 10].
    A step with values that are not finite is rejected and shrinks. A step costs six evaluations of
    f, because its last stage is the first stage of the next step. `max_steps` bounds the number of
    steps tried, including rejected steps.
    Source: Hairer, Norsett & Wanner, Solving ODEs I, section II.4.
    """
    t0, t1 = jnp.asarray(t0, jnp.float32), jnp.asarray(t1, jnp.float32)
    k0 = f(t0, x0)

    def body(state: _Step) -> _Step:
        t, x, remaining = state.t, state.x, t1 - state.t
        h = jnp.where(jnp.abs(state.h) > jnp.abs(remaining), remaining, state.h)
        new, ks = runge_kutta(f, x, t, h, state.slope)
        error = _scaled_error(_weighted(h, E, ks), x, new, rtol, atol)
        error = jnp.where(jnp.isfinite(error), error, 1e10)
        accept = error <= 1
        select = lambda a, b: jax.tree.map(lambda a, b: jnp.where(accept, a, b), a, b)
        factor = jnp.clip(0.9 * jnp.maximum(error, 1e-10) ** -0.2, 0.2, 10.0)
        t = jnp.where(accept, jnp.where(h == remaining, t1, t + h), t)
        slope = select(ks[-1], state.slope)
        return _Step(t, h * factor, select(new, x), slope, state.tried + 1, state.accepted + accept)

    unfinished = lambda state: (state.t != t1) & (state.tried < max_steps)
    start = _Step(t0, _first_step(x0, k0, t1 - t0, rtol, atol), x0, k0, 0, 0)
    end = jax.lax.while_loop(unfinished, body, start)
    return Solution(end.x, 1 + 6 * end.tried, end.accepted, end.t == t1)


def runge_kutta(f: Callable, x, t: Scalar, h: Scalar, k1) -> tuple[Any, list]:
    """One Dormand-Prince step from k1 = f(t, x): the fifth-order x(t + h) and all seven stages."""
    ks = [k1]
    for c, a in zip(C[1:], A[1:]):
        point = jax.tree.map(jnp.add, x, _weighted(h, a, ks))
        ks.append(f(t + c * h, point))
    return point, ks


def _first_step(x, k, span, rtol, atol):
    """First step size: 0.01 |x| / |f| in scaled norms, at most the whole span."""
    zero = jax.tree.map(jnp.zeros_like, x)
    size, slope = (_scaled_error(v, x, zero, rtol, atol) for v in (x, k))
    step = 0.01 * jnp.maximum(size, 1e-3) / jnp.maximum(slope, 1e-10)
    return jnp.sign(span) * jnp.minimum(jnp.abs(span), step)


def _scaled_error(error, x, new, rtol, atol):
    def square(e, a, b):
        tolerance = atol + rtol * jnp.maximum(jnp.abs(a), jnp.abs(b))
        return jnp.sum(jnp.square(e.astype(jnp.float32) / tolerance))

    leaves = jax.tree.leaves(jax.tree.map(square, error, x, new))
    return jnp.sqrt(sum(leaves) / sum(leaf.size for leaf in jax.tree.leaves(x)))


def _weighted(h, weights, ks):
    """h sum_i weights_i ks_i."""
    return jax.tree.map(lambda *k: h * sum(w * k for w, k in zip(weights, k) if w), *ks)


def _axpy(h, k, x):
    return jax.tree.map(lambda k, x: x + h * k, k, x)
