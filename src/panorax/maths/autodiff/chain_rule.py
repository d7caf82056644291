"""Automatic differentiation of a jaxpr, forward and in reverse, from the chain rule alone.

A program is a list of equations y = f(x_1, .., x_n). With J_i = df/dx_i,

    forward:   t_y = sum_i J_i t_i          along with the values, for one direction t of the inputs
    reverse:   c_i += J_i^T c_y             from the last equation to the first, for one weighting c of the outputs

so a gradient of one output takes one pass backward however many inputs there are, where forward mode takes one pass for each (Linnainmaa 1970;
Griewank & Walther, Evaluating Derivatives, chapter 3: no more than about 5 times the operations of the program), for which reverse mode must keep the
values that its Jacobians need. Of a scan it keeps the carry before each turn, and computes the turn again on the way back.

Three kinds of equations have rules (`panorax.maths.autodiff.derivatives`): elementwise ones by their derivatives, linear ones by their transposes, and products of
two arguments, linear in each. What contains programs (calls, scans) is taken apart here. `jax.grad` is not used.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from panorax.maths.autodiff.derivatives import (
    BILINEAR,
    CONSTANT,
    ELEMENTWISE,
    LINEAR,
    reduced_weight,
)

CALLS = ("jit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2")


def forward(f: Callable, primals: tuple, tangents: tuple):
    """(f(*primals), its derivative along `tangents`), as `jax.jvp`: trees of floating point arrays, tangents like primals.

    Raises NotImplementedError for an equation that has no rule, with its name.
    """
    program, shape = jax.make_jaxpr(f, return_shape=True)(*primals)
    outs, tangents_out = _forward(program, jax.tree.leaves(primals), jax.tree.leaves(tangents))
    tree = jax.tree.structure(shape)
    return tree.unflatten(outs), tree.unflatten(tangents_out)


def reverse(f: Callable, *primals):
    """(f(*primals), pullback), as `jax.vjp`: pullback(cotangents of the outputs) is a tuple of cotangents of the primals.

    Raises NotImplementedError for an equation that has no rule, with its name.
    """
    program, shape = jax.make_jaxpr(f, return_shape=True)(*primals)
    leaves, tree = jax.tree.flatten(primals)
    outs, pull = _reverse(program, leaves, [True] * len(leaves))
    return jax.tree.unflatten(jax.tree.structure(shape), outs), lambda cotangents: tree.unflatten(
        pull(jax.tree.leaves(cotangents))
    )


def grad(f: Callable) -> Callable:
    """The gradient of a scalar function of one tree, as `jax.grad`."""

    def gradient(x):
        y, pull = reverse(f, x)
        return pull(jnp.ones_like(y))[0]

    return gradient


def _called(eqn) -> ClosedJaxpr:
    inside = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
    return inside if isinstance(inside, ClosedJaxpr) else ClosedJaxpr(inside, ())


def _environment(program: ClosedJaxpr, args):
    env = dict(
        zip(
            [*program.jaxpr.constvars, *program.jaxpr.invars], [*program.consts, *args], strict=True
        )
    )
    return env, lambda v: v.val if isinstance(v, Literal) else env[v]


def _no_rule(eqn):
    raise NotImplementedError(
        f"no rule of differentiation for the primitive {eqn.primitive.name!r}"
    )


def _result(eqn, values):
    """What the equation computes, as a list."""
    found = eqn.primitive.bind(*values, **eqn.params)
    return list(found) if eqn.primitive.multiple_results else [found]


def _forward(program: ClosedJaxpr, args, tangents):
    """A tangent of None stands for zeros that never came to be."""
    env, read = _environment(program, args)
    moving = dict(zip(program.jaxpr.invars, tangents, strict=True))
    slope = lambda v: None if isinstance(v, Literal) else moving.get(v)
    for eqn in program.jaxpr.eqns:
        name, x, t = (
            eqn.primitive.name,
            [read(v) for v in eqn.invars],
            [slope(v) for v in eqn.invars],
        )
        if name in CALLS:
            y, t_y = _forward(_called(eqn), x, t)
        elif name == "scan":
            y, t_y = _scan_forward(eqn, x, t)
        else:
            y = _result(eqn, x)
            t_y = (
                _push(eqn, x, t, y)
                if any(one is not None for one in t) and name not in CONSTANT
                else [None] * len(y)
            )
        env |= zip(eqn.outvars, y, strict=True)
        moving |= zip(eqn.outvars, t_y, strict=True)
    outs = [read(v) for v in program.jaxpr.outvars]
    return outs, [_filled(slope(v), y) for v, y in zip(program.jaxpr.outvars, outs, strict=True)]


def _push(eqn, x, t, y):
    """Tangents of the results of an equation."""
    name, moved = eqn.primitive.name, [i for i, one in enumerate(t) if one is not None]
    if name in ELEMENTWISE:
        slopes = ELEMENTWISE[name](*x, y[0], **eqn.params)
        return [
            sum(
                jnp.broadcast_to(slopes[i] * t[i], y[0].shape).astype(y[0].dtype)
                for i in moved
                if slopes[i] is not None
            )
        ]
    if name in LINEAR:
        return _result(
            eqn,
            [
                _filled(t[i], x[i]) if i < (LINEAR[name].arguments or len(x)) else x[i]
                for i in range(len(x))
            ],
        )
    if name in BILINEAR:
        return [
            sum(
                eqn.primitive.bind(*(t[j] if i == j else x[j] for j in (0, 1)), **eqn.params)
                for i in moved
            )
        ]
    if name in ("reduce_max", "reduce_min"):
        return [jnp.sum(reduced_weight(x[0], y[0], eqn.params["axes"]) * t[0], eqn.params["axes"])]
    return _no_rule(eqn)


def _reverse(program: ClosedJaxpr, args, moving):
    """`moving` says of each argument whether its cotangent is asked for; where nothing moves, nothing is pulled back."""
    env, read = _environment(program, args)
    moved = {
        v
        for v, m in zip(program.jaxpr.invars, moving, strict=True)
        if m and jnp.issubdtype(v.aval.dtype, jnp.floating)
    }
    pulls = []
    for eqn in program.jaxpr.eqns:
        name, x = eqn.primitive.name, [read(v) for v in eqn.invars]
        moves = [not isinstance(v, Literal) and v in moved for v in eqn.invars]
        if name in CALLS:
            y, pull = _reverse(_called(eqn), x, moves)
        elif name == "scan":
            y, pull = _scan_reverse(eqn, x)
        else:
            y = _result(eqn, x)
            pull = _pullback(eqn, x, y, moves) if any(moves) and name not in CONSTANT else None
        pulls.append(pull)
        env |= zip(eqn.outvars, y, strict=True)
        if any(moves) and name not in CONSTANT:
            moved |= {v for v in eqn.outvars if jnp.issubdtype(v.aval.dtype, jnp.floating)}

    def pull_all(cotangents):
        owed = {}

        def owe(v, c):
            if c is not None and not isinstance(v, Literal) and v in moved:
                owed[v] = c if v not in owed else owed[v] + c

        for v, c in zip(program.jaxpr.outvars, cotangents, strict=True):
            owe(v, c)
        for eqn, pull in zip(reversed(program.jaxpr.eqns), reversed(pulls), strict=True):
            c_y = [owed.pop(v, None) for v in eqn.outvars]
            if pull is not None and any(c is not None for c in c_y):
                y = [env[v] for v in eqn.outvars]
                for v, c in zip(
                    eqn.invars,
                    pull([_filled(c, value) for c, value in zip(c_y, y, strict=True)]),
                    strict=True,
                ):
                    owe(v, c)
        return [_filled(owed.get(v), env[v]) for v in program.jaxpr.invars]

    return [read(v) for v in program.jaxpr.outvars], pull_all


def _pullback(eqn, x, y, moves):
    """From cotangents of the results of an equation to those of its arguments; None for one that no derivative comes to."""
    name = eqn.primitive.name
    if name in ELEMENTWISE:
        slopes = ELEMENTWISE[name](*x, y[0], **eqn.params)
        return lambda c: [
            None if d is None else _summed(d * c[0], one) for d, one in zip(slopes, x, strict=True)
        ]
    if name in LINEAR:
        return lambda c: LINEAR[name].transpose(c, *x, **eqn.params)
    if name in BILINEAR:
        return lambda c: [
            BILINEAR[name](i, c[0], *x, **eqn.params) if moves[i] else None for i in (0, 1)
        ]
    if name in ("reduce_max", "reduce_min"):
        weight = reduced_weight(x[0], y[0], eqn.params["axes"])
        return lambda c: [weight * jnp.expand_dims(c[0], eqn.params["axes"])]
    return _no_rule(eqn)


def _summed(c, x):
    """What comes back to an argument that was spread over a larger array, a number or an axis of 1, is the sum; in the dtype of the argument."""
    if jnp.ndim(x) == 0 or jnp.ndim(c) == 0:
        return jnp.sum(c).astype(jnp.result_type(x)).reshape(jnp.shape(x))
    spread = tuple(a for a, size in enumerate(x.shape) if size == 1 != c.shape[a])
    return jnp.sum(c, spread, keepdims=True).astype(x.dtype)


def _filled(c, like):
    return jnp.zeros_like(like) if c is None else c


def _parts(eqn, values):
    """(constants, carry, stacked inputs) of a scan."""
    if "ft_in" in eqn.params:  # JAX 0.11 on
        n, carried = (len(list(part.vals)) for part in eqn.params["ft_in"].unpack()[:2])
    else:
        n, carried = eqn.params["num_consts"], eqn.params["num_carry"]
    m = n + carried
    return list(values[:n]), list(values[n:m]), list(values[m:])


def _scan_forward(eqn, x, t):
    """The scan of values and tangents together."""
    consts, carry, _ = _parts(eqn, x)
    t = [_filled(one, value) for one, value in zip(t, x, strict=True)]
    t_consts, t_carry, _ = _parts(eqn, t)
    inputs, body, n = (_parts(eqn, x)[2], _parts(eqn, t)[2]), eqn.params["jaxpr"], len(carry)

    def turn(carries, inputs):
        y, t_y = _forward(
            body, [*consts, *carries[0], *inputs[0]], [*t_consts, *carries[1], *inputs[1]]
        )
        return (y[:n], t_y[:n]), (y[n:], t_y[n:])

    (y, t_y), (ys, t_ys) = jax.lax.scan(
        turn, (carry, t_carry), inputs, length=eqn.params["length"], reverse=eqn.params["reverse"]
    )
    return [*y, *ys], [*t_y, *t_ys]


def _scan_reverse(eqn, x):
    """The scan, which keeps the carry before every turn; its pullback is a scan of the turns in reverse."""
    consts, carry, inputs = _parts(eqn, x)
    body, n, length, backward = (
        eqn.params["jaxpr"],
        len(carry),
        eqn.params["length"],
        eqn.params["reverse"],
    )

    def turn(carry, inputs):
        y = jaxpr_as_fun(body)(*consts, *carry, *inputs)
        return y[:n], (y[n:], carry)

    last, (ys, carries) = jax.lax.scan(turn, carry, inputs, length=length, reverse=backward)

    def pull(c):
        def turn_back(c_carry, turned):
            carry, inputs, c_ys = turned
            values = [*consts, *carry, *inputs]
            _, pull = _reverse(body, values, [True] * len(values))
            c_consts, c_carry, c_inputs = _parts(eqn, pull([*c_carry, *c_ys]))
            return c_carry, (c_consts, c_inputs)

        c_carry, (c_consts, c_inputs) = jax.lax.scan(
            turn_back, c[:n], (carries, inputs, c[n:]), length=length, reverse=not backward
        )
        return [*[jnp.sum(one, 0) for one in c_consts], *c_carry, *c_inputs]

    return [*last, *ys], pull
