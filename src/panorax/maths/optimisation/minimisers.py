"""Minimisation by curvature: Newton, damped Newton-CG, BFGS, L-BFGS and a trust region, each a compiled loop over a flat vector.

    Newton           p = -H^-1 g, quadratic near a minimum; H + t I where H is not positive
    Newton-CG        p from conjugate gradients on H p = -g, stopped early at the first direction of negative curvature (Dembo & Steihaug 1983)
    BFGS             p = -B g, B <- (I - r s y^T) B (I - r y s^T) + r s s^T,  s = x' - x, y = g' - g, r = 1 / (s . y)
    L-BFGS           the same from the last m pairs (s, y), B never built (Liu & Nocedal 1989)
    trust region     the same conjugate gradients, ended at the border |p| = radius, which grows and shrinks with how well the model foretold
    (Steihaug 1983)

The first four go a step a along p that fulfils the strong Wolfe conditions, f(x + a p) <= f + c1 a p.g and |p.g(x + a p)| <= c2 |p.g|.
Source: Nocedal & Wright, Numerical Optimization, algorithms 3.5, 6.1, 7.1, 7.2, 7.4 and 7.5.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import struct
from panorax.maths.optimisation.curvature import hessian_product

C1, C2 = 1e-4, 0.9


@struct.dataclass
class Minimum:
    """Where a minimiser stopped: the point, its value and gradient; the value after every step, NaN after the last; how many steps it took."""

    x: Float[Array, " n"]
    value: Float[Array, ""]
    gradient: Float[Array, " n"]
    values: Float[Array, " steps+1"]
    steps: Int[Array, ""]


def line_search(f: Callable, x, p, value, gradient, tries: int = 40):
    """(a, f, gradient at x + a p), a fulfilling the strong Wolfe conditions: a bracket is doubled until it holds such a step, then halved. Where
    none is found in `tries`, the last one, which lowers f if any did."""
    slope = jnp.vdot(p, gradient)

    def unfinished(state):
        return ~state[4] & (state[3] < tries)

    def narrow(state):
        low, high, a, n, *_ = state
        at, tangent = jax.value_and_grad(f)(x + a * p)
        along = jnp.vdot(p, tangent)
        over = (at > value + C1 * a * slope) | ~jnp.isfinite(at)
        done = ~over & (jnp.abs(along) <= -C2 * slope)
        low, high = jnp.where(over | (along > 0), low, a), jnp.where(over | (along > 0), a, high)
        following = jnp.where(jnp.isfinite(high), 0.5 * (low + high), 2 * a)
        return low, high, following, n + 1, done, a, at, tangent

    one = jnp.ones((), x.dtype)
    *_, a, at, tangent = jax.lax.while_loop(
        unfinished, narrow, (0 * one, jnp.inf * one, one, 0, False, one, value, gradient)
    )
    return a, at, tangent


def minimise(
    f: Callable, x, direction: Callable, memory, remember: Callable, steps: int, tolerance: float
) -> Minimum:
    """Steps along `direction(x, gradient, memory)`, `memory = remember(memory, s, y)` after each, until the largest entry of the gradient is below
    `tolerance`, or no step lowers f, or `steps` are done. A direction that does not descend is replaced by the steepest one."""
    value, gradient = jax.value_and_grad(f)(x)

    def go_on(state):
        x, value, gradient, memory, values, n, stuck = state
        return (jnp.max(jnp.abs(gradient)) > tolerance) & (n < steps) & ~stuck

    def step(state):
        x, value, gradient, memory, values, n, _ = state
        p = direction(x, gradient, memory)
        p = jnp.where(jnp.vdot(p, gradient) < 0, p, -gradient)
        a, found, slope = line_search(f, x, p, value, gradient)
        lower = found < value
        s, y = jnp.where(lower, a * p, 0), slope - gradient
        memory = jax.tree.map(
            lambda new, old: jnp.where(lower, new, old), remember(memory, s, y), memory
        )
        value, gradient = jnp.where(lower, found, value), jnp.where(lower, slope, gradient)
        return x + s, value, gradient, memory, values.at[n + 1].set(value), n + 1, ~lower

    values = jnp.full(steps + 1, jnp.nan, x.dtype).at[0].set(value)
    x, value, gradient, _, values, n, _ = jax.lax.while_loop(
        go_on, step, (x, value, gradient, memory, values, 0, False)
    )
    return Minimum(x, value, gradient, values, n)


def newton(
    f: Callable, x: Float[Array, " n"], steps: int = 100, tolerance: float = 1e-5
) -> Minimum:
    """Newton's method with the whole Hessian: eigenvalues are taken by their size, and none below a millionth of the largest."""

    def direction(x, gradient, _):
        values, vectors = jnp.linalg.eigh(jax.hessian(f)(x))
        size = jnp.abs(values)
        return -vectors @ ((vectors.T @ gradient) / jnp.maximum(size, 1e-6 * jnp.max(size)))

    return minimise(f, x, direction, (), lambda memory, s, y: memory, steps, tolerance)


def conjugate_gradients(product: Callable, gradient, radius, turns: int):
    """p that lowers g.p + p.Hp/2 until the residual is small (min(1/2, sqrt|g|) |g|), `turns` are over, curvature is negative or |p| = radius; in
    the last two cases on along that direction to the border."""
    norm = jnp.linalg.norm(gradient)
    enough = jnp.minimum(0.5, jnp.sqrt(norm)) * norm

    def to_border(p, d):
        a, b, c = d @ d, 2 * p @ d, p @ p - radius**2
        return p + (-b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))) / (2 * a) * d

    def turn(state):
        p, r, d, n, _ = state
        hd = product(d)
        curvature, square = d @ hd, r @ r
        step = square / curvature
        beyond = (curvature <= 0) | (jnp.linalg.norm(p + step * d) >= radius)
        at_border = jnp.where(
            jnp.isfinite(radius), to_border(p, d), jnp.where(n == 0, -gradient, p)
        )
        left = r + step * hd
        moved = jnp.where(beyond, at_border, p + step * d)
        return moved, left, -left + (left @ left) / square * d, n + 1, beyond

    going = lambda state: ~state[4] & (state[3] < turns) & (jnp.linalg.norm(state[1]) > enough)
    p, *_ = jax.lax.while_loop(
        going, turn, (jnp.zeros_like(gradient), gradient, -gradient, 0, False)
    )
    return p


def newton_cg(
    f: Callable, x: Float[Array, " n"], steps: int = 200, tolerance: float = 1e-5
) -> Minimum:
    """Newton's method without the Hessian: products with it alone."""
    direction = lambda x, gradient, _: conjugate_gradients(
        functools.partial(hessian_product, f, x), gradient, jnp.inf, 10 * x.size
    )
    return minimise(f, x, direction, (), lambda memory, s, y: memory, steps, tolerance)


def bfgs(f: Callable, x: Float[Array, " n"], steps: int = 500, tolerance: float = 1e-5) -> Minimum:
    """B starts as the identity, scaled by the first pair to the curvature that it saw."""
    eye = jnp.eye(x.size, dtype=x.dtype)

    def remember(memory, s, y):
        b, first = memory
        curvature = jnp.vdot(s, y)
        b = jnp.where(
            first, curvature / jnp.maximum(jnp.vdot(y, y), jnp.finfo(x.dtype).tiny) * eye, b
        )
        r = 1 / jnp.where(curvature > 0, curvature, 1)
        left = eye - r * jnp.outer(s, y)
        return jnp.where(curvature > 0, left @ b @ left.T + r * jnp.outer(s, s), b), jnp.array(
            False
        )

    return minimise(
        f,
        x,
        lambda x, gradient, memory: -memory[0] @ gradient,
        (eye, jnp.array(True)),
        remember,
        steps,
        tolerance,
    )


def lbfgs(
    f: Callable, x: Float[Array, " n"], steps: int = 2000, tolerance: float = 1e-5, pairs: int = 10
) -> Minimum:
    """The last `pairs` of (s, y), newest last; a pair that saw no positive curvature is left out."""

    def direction(x, gradient, memory):
        ss, ys = memory
        curvature = jnp.sum(ss * ys, 1)
        r = jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 0)

        def back(q, pair):
            s, y, r = pair
            a = r * (s @ q)
            return q - a * y, a

        q, a = jax.lax.scan(back, gradient, (ss, ys, r), reverse=True)
        scale = jnp.where(
            curvature[-1] > 0,
            curvature[-1] / jnp.maximum(ys[-1] @ ys[-1], jnp.finfo(x.dtype).tiny),
            1,
        )

        def forth(q, pair):
            s, y, r, a = pair
            return q + (a - r * (y @ q)) * s, None

        q, _ = jax.lax.scan(forth, scale * q, (ss, ys, r, a))
        return -q

    def remember(memory, s, y):
        newer = jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), memory, (s, y))
        return jax.tree.map(lambda new, old: jnp.where(jnp.vdot(s, y) > 0, new, old), newer, memory)

    empty = jnp.zeros((pairs, x.size), x.dtype)
    return minimise(f, x, direction, (empty, empty), remember, steps, tolerance)


def trust_region(
    f: Callable,
    x: Float[Array, " n"],
    steps: int = 500,
    tolerance: float = 1e-5,
    radius: float = 1.0,
    largest: float = 1000.0,
) -> Minimum:
    """A step is taken where f falls by 15% or more of what the quadratic model says; the radius is quartered below 25% and doubled above 75% at the
    border."""
    value, gradient = jax.value_and_grad(f)(x)

    def go_on(state):
        _, _, gradient, radius, _, n = state
        return (
            (jnp.max(jnp.abs(gradient)) > tolerance)
            & (n < steps)
            & (radius > jnp.finfo(x.dtype).eps)
        )

    def step(state):
        x, value, gradient, radius, values, n = state
        product = functools.partial(hessian_product, f, x)
        p = conjugate_gradients(product, gradient, radius, 10 * x.size)
        found, slope = jax.value_and_grad(f)(x + p)
        foretold = -(gradient @ p + 0.5 * p @ product(p))
        share = jnp.where(
            jnp.isfinite(found),
            (value - found) / jnp.maximum(foretold, jnp.finfo(x.dtype).tiny),
            -1.0,
        )
        at_border = jnp.linalg.norm(p) > 0.99 * radius
        radius = jnp.where(
            share < 0.25,
            0.25 * radius,
            jnp.where((share > 0.75) & at_border, jnp.minimum(2 * radius, largest), radius),
        )
        taken = share > 0.15
        x, value, gradient = (
            jnp.where(taken, x + p, x),
            jnp.where(taken, found, value),
            jnp.where(taken, slope, gradient),
        )
        return x, value, gradient, radius, values.at[n + 1].set(value), n + 1

    values = jnp.full(steps + 1, jnp.nan, x.dtype).at[0].set(value)
    state = (x, value, gradient, jnp.asarray(radius, x.dtype), values, 0)
    x, value, gradient, _, values, n = jax.lax.while_loop(go_on, step, state)
    return Minimum(x, value, gradient, values, n)


MINIMISERS: dict[str, Callable] = {
    "newton": newton,
    "newton_cg": newton_cg,
    "bfgs": bfgs,
    "lbfgs": lbfgs,
    "trust_region": trust_region,
}
