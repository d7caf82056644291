"""Second-order minimisers of a function of a vector, each one compiled loop.

    Newton           p = -H^-1 g, quadratic convergence; |eigenvalues| of H if H is indefinite
    Newton-CG        p from conjugate gradients on H p = -g, stopped at the first direction of
                     negative curvature (Dembo & Steihaug 1983)
    BFGS             p = -B g, B <- (I - r s y^T) B (I - r y s^T) + r s s^T,
                     s = x' - x, y = g' - g, r = 1 / (s . y)
    L-BFGS           BFGS from the last m pairs (s, y), without B (Liu & Nocedal 1989)
    trust region     conjugate gradients stopped at the border |p| = radius; the radius follows the
                     agreement of f with its quadratic model (Steihaug 1983)

The first four take a step a p that satisfies the strong Wolfe conditions,
f(x + a p) <= f + c1 a p.g and |p.g(x + a p)| <= c2 |p.g|.
Source: Nocedal & Wright, Numerical Optimization, algorithms 3.5, 6.1, 7.1, 7.2, 7.4 and 7.5.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct
from panorax.maths.optimisation.curvature import hessian_product

C1, C2 = 1e-4, 0.9
"""constants of the Wolfe conditions"""


@struct.dataclass
class Minimum:
    """Result of a minimiser."""

    x: Float[Array, " n"]
    """last point"""
    value: Float[Array, ""]
    """f(x)"""
    gradient: Float[Array, " n"]
    """gradient of f at x"""
    values: Float[Array, " steps+1"]
    """f at the start and after every step, NaN after the last step"""
    steps: Int[Array, ""]
    """number of steps"""


class _Bracket(NamedTuple):
    """State of the line search: an interval of step lengths and the last length tried."""

    low: Float[Array, ""]
    """lower end of the interval"""
    high: Float[Array, ""]
    """upper end of the interval, infinite until a length is too long"""
    following: Float[Array, ""]
    """next length to try"""
    tries: Int[Array, ""]
    """number of lengths tried"""
    done: Bool[Array, ""]
    """True if `a` satisfies the strong Wolfe conditions"""
    a: Float[Array, ""]
    """last length tried"""
    value: Float[Array, ""]
    """f(x + a p)"""
    gradient: Float[Array, " n"]
    """gradient of f at x + a p"""


class _ConjugateGradients(NamedTuple):
    """State of the conjugate gradient method."""

    p: Float[Array, " n"]
    """solution so far"""
    residual: Float[Array, " n"]
    """H p + g"""
    direction: Float[Array, " n"]
    """next search direction"""
    turns: Int[Array, ""]
    """number of iterations"""
    stopped: Bool[Array, ""]
    """True after negative curvature or at the border"""


def _start(f: Callable, x, steps: int) -> Minimum:
    value, gradient = jax.value_and_grad(f)(x)
    values = jnp.full(steps + 1, jnp.nan, x.dtype).at[0].set(value)
    return Minimum(x, value, gradient, values, 0)


def line_search(f: Callable, x, p, value, gradient, tries: int = 40):
    """Returns a step length a along p, f(x + a p), and the gradient there.

    a satisfies the strong Wolfe conditions: the length is doubled until an interval contains such
    an a, then the interval is bisected. If `tries` lengths fail, a is the last of them, which
    lowers f if any did.
    """
    slope = jnp.vdot(p, gradient)

    def unfinished(state):
        return ~state.done & (state.tries < tries)

    def narrow(state):
        a, low, high = state.following, state.low, state.high
        new_value, new_gradient = jax.value_and_grad(f)(x + a * p)
        new_slope = jnp.vdot(p, new_gradient)
        over = (new_value > value + C1 * a * slope) | ~jnp.isfinite(new_value)
        done = ~over & (jnp.abs(new_slope) <= -C2 * slope)
        too_long = over | (new_slope > 0)
        low, high = jnp.where(too_long, low, a), jnp.where(too_long, a, high)
        following = jnp.where(jnp.isfinite(high), 0.5 * (low + high), 2 * a)
        return _Bracket(low, high, following, state.tries + 1, done, a, new_value, new_gradient)

    one = jnp.ones((), x.dtype)
    begin = _Bracket(0 * one, jnp.inf * one, one, 0, False, one, value, gradient)
    end = jax.lax.while_loop(unfinished, narrow, begin)
    return end.a, end.value, end.gradient


def minimise(
    f: Callable, x, direction: Callable, memory, remember: Callable, steps: int, tolerance: float
) -> Minimum:
    """Runs at most `steps` line searches along `direction(x, gradient, memory)`.

    After each step s with gradient change y, `memory = remember(memory, s, y)`. Stops when every
    |entry of the gradient| is at most `tolerance`, or when a step does not lower f. A direction
    that does not descend is replaced by the negative gradient.
    """

    def unfinished(state):
        at, _, stuck = state
        return (jnp.max(jnp.abs(at.gradient)) > tolerance) & (at.steps < steps) & ~stuck

    def step(state):
        at, memory, _ = state
        p = direction(at.x, at.gradient, memory)
        p = jnp.where(jnp.vdot(p, at.gradient) < 0, p, -at.gradient)
        a, new_value, new_gradient = line_search(f, at.x, p, at.value, at.gradient)
        lower = new_value < at.value
        s, y = jnp.where(lower, a * p, 0), new_gradient - at.gradient
        memory = jax.tree.map(
            lambda new, old: jnp.where(lower, new, old), remember(memory, s, y), memory
        )
        value = jnp.where(lower, new_value, at.value)
        gradient = jnp.where(lower, new_gradient, at.gradient)
        values = at.values.at[at.steps + 1].set(value)
        return Minimum(at.x + s, value, gradient, values, at.steps + 1), memory, ~lower

    minimum, _, _ = jax.lax.while_loop(unfinished, step, (_start(f, x, steps), memory, False))
    return minimum


def newton(
    f: Callable, x: Float[Array, " n"], steps: int = 100, tolerance: float = 1e-5
) -> Minimum:
    """Newton's method with the full Hessian.

    Its eigenvalues enter by their absolute values, at least 1e-6 times the largest.
    """

    def direction(x, gradient, _):
        values, vectors = jnp.linalg.eigh(jax.hessian(f)(x))
        size = jnp.abs(values)
        return -vectors @ ((vectors.T @ gradient) / jnp.maximum(size, 1e-6 * jnp.max(size)))

    return minimise(f, x, direction, (), lambda memory, s, y: memory, steps, tolerance)


def conjugate_gradients(product: Callable, gradient, radius, turns: int):
    """Approximately minimises g.p + p.Hp/2 over |p| <= radius from p = 0; `product(v)` is H v.

    Stops when the residual is at most min(1/2, sqrt|g|) |g|, or after `turns` iterations. At a
    direction of negative curvature, or one that crosses the border, it returns the point where the
    direction meets the border. For an infinite radius it returns the current p there, or -g in the
    first iteration.
    """
    norm = jnp.linalg.norm(gradient)
    threshold = jnp.minimum(0.5, jnp.sqrt(norm)) * norm

    def to_border(p, d):
        a, b, c = d @ d, 2 * p @ d, p @ p - radius**2
        return p + (-b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))) / (2 * a) * d

    def turn(state):
        p, r, d = state.p, state.residual, state.direction
        hd = product(d)
        curvature, square = d @ hd, r @ r
        step = square / curvature
        beyond = (curvature <= 0) | (jnp.linalg.norm(p + step * d) >= radius)
        current = jnp.where(state.turns == 0, -gradient, p)
        at_border = jnp.where(jnp.isfinite(radius), to_border(p, d), current)
        residual = r + step * hd
        p = jnp.where(beyond, at_border, p + step * d)
        d = -residual + (residual @ residual) / square * d
        return _ConjugateGradients(p, residual, d, state.turns + 1, beyond)

    def unfinished(state):
        large = jnp.linalg.norm(state.residual) > threshold
        return ~state.stopped & (state.turns < turns) & large

    begin = _ConjugateGradients(jnp.zeros_like(gradient), gradient, -gradient, 0, False)
    return jax.lax.while_loop(unfinished, turn, begin).p


def newton_cg(
    f: Callable, x: Float[Array, " n"], steps: int = 200, tolerance: float = 1e-5
) -> Minimum:
    """Newton's method from Hessian-vector products."""
    direction = lambda x, gradient, _: conjugate_gradients(
        functools.partial(hessian_product, f, x), gradient, jnp.inf, 10 * x.size
    )
    return minimise(f, x, direction, (), lambda memory, s, y: memory, steps, tolerance)


def bfgs(f: Callable, x: Float[Array, " n"], steps: int = 500, tolerance: float = 1e-5) -> Minimum:
    """BFGS; B starts as the identity, scaled by the curvature of the first pair (s, y)."""
    eye = jnp.eye(x.size, dtype=x.dtype)

    def remember(memory, s, y):
        b, first = memory
        curvature = jnp.vdot(s, y)
        scale = curvature / jnp.maximum(jnp.vdot(y, y), jnp.finfo(x.dtype).tiny)
        b = jnp.where(first, scale * eye, b)
        r = 1 / jnp.where(curvature > 0, curvature, 1)
        left = eye - r * jnp.outer(s, y)
        updated = left @ b @ left.T + r * jnp.outer(s, s)
        return jnp.where(curvature > 0, updated, b), jnp.array(False)

    direction = lambda x, gradient, memory: -memory[0] @ gradient
    return minimise(f, x, direction, (eye, jnp.array(True)), remember, steps, tolerance)


def lbfgs(
    f: Callable, x: Float[Array, " n"], steps: int = 2000, tolerance: float = 1e-5, pairs: int = 10
) -> Minimum:
    """L-BFGS with the last `pairs` pairs (s, y); pairs with s . y <= 0 are skipped."""

    def direction(x, gradient, memory):
        ss, ys = memory
        curvature = jnp.sum(ss * ys, 1)
        r = jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 0)

        def back(q, pair):
            s, y, r = pair
            a = r * (s @ q)
            return q - a * y, a

        q, a = jax.lax.scan(back, gradient, (ss, ys, r), reverse=True)
        newest = curvature[-1] / jnp.maximum(ys[-1] @ ys[-1], jnp.finfo(x.dtype).tiny)
        scale = jnp.where(curvature[-1] > 0, newest, 1)

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
    """Trust region method with conjugate gradients; `radius` is the first, `largest` the maximum.

    rho is the decrease of f over the decrease of its quadratic model. A step is taken if
    rho > 0.15. The radius is quartered if rho < 0.25, and doubled if rho > 0.75 at the border.
    """

    def unfinished(state):
        at, radius = state
        return (
            (jnp.max(jnp.abs(at.gradient)) > tolerance)
            & (at.steps < steps)
            & (radius > jnp.finfo(x.dtype).eps)
        )

    def step(state):
        at, radius = state
        product = functools.partial(hessian_product, f, at.x)
        p = conjugate_gradients(product, at.gradient, radius, 10 * at.x.size)
        new_value, new_gradient = jax.value_and_grad(f)(at.x + p)
        predicted = -(at.gradient @ p + 0.5 * p @ product(p))
        rho = (at.value - new_value) / jnp.maximum(predicted, jnp.finfo(x.dtype).tiny)
        rho = jnp.where(jnp.isfinite(new_value), rho, -1.0)
        grow = (rho > 0.75) & (jnp.linalg.norm(p) > 0.99 * radius)
        grown = jnp.where(grow, jnp.minimum(2 * radius, largest), radius)
        radius = jnp.where(rho < 0.25, 0.25 * radius, grown)
        accepted = rho > 0.15
        value = jnp.where(accepted, new_value, at.value)
        after = Minimum(
            jnp.where(accepted, at.x + p, at.x),
            value,
            jnp.where(accepted, new_gradient, at.gradient),
            at.values.at[at.steps + 1].set(value),
            at.steps + 1,
        )
        return after, radius

    begin = (_start(f, x, steps), jnp.asarray(radius, x.dtype))
    return jax.lax.while_loop(unfinished, step, begin)[0]


MINIMISERS: dict[str, Callable] = {
    "newton": newton,
    "newton_cg": newton_cg,
    "bfgs": bfgs,
    "lbfgs": lbfgs,
    "trust_region": trust_region,
}
"""minimisers by name"""
