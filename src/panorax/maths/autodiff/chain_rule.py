"""Forward and reverse mode automatic differentiation of a jaxpr, from the chain rule alone.

A program is a list of equations y = f(x_1, .., x_n). With J_i = df/dx_i,

    forward:   t_y = sum_i J_i t_i          along with the values, for one tangent t of the inputs
    reverse:   c_i += J_i^T c_y             from the last equation to the first, for one cotangent c

The gradient of one output takes one reverse pass for any number of inputs, and one forward pass per
input (Linnainmaa 1970). The reverse pass costs at most about 5 times the operations of the program
(Griewank & Walther, Evaluating Derivatives, chapter 3). It keeps the values that the Jacobians
need; for a scan it keeps the carry before each iteration and recomputes the rest.

`panorax.maths.autodiff.derivatives` has rules for three kinds of equations: elementwise ones
(derivatives), linear ones (transposes) and bilinear ones (one transpose per argument). This module
opens equations that contain programs (calls, scans). `jax.grad` is not used.
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
"""primitives whose inner jaxpr is differentiated in place"""


def forward(f: Callable, primals: tuple, tangents: tuple):
    """Returns (f(*primals), the derivative of f along `tangents`), like `jax.jvp`.

    primals, tangents: trees of floating point arrays of the same structure.
    Raises NotImplementedError, with the name of the primitive, for an equation without a rule.
    """
    program, shape = jax.make_jaxpr(f, return_shape=True)(*primals)
    outs, tangents_out = _forward(program, jax.tree.leaves(primals), jax.tree.leaves(tangents))
    tree = jax.tree.structure(shape)
    return tree.unflatten(outs), tree.unflatten(tangents_out)


def reverse(f: Callable, *primals):
    """Returns (f(*primals), pullback), like `jax.vjp`.

    The pullback maps cotangents of the outputs to a tuple of cotangents of the primals.
    Raises NotImplementedError, with the name of the primitive, for an equation without a rule.
    """
    program, shape = jax.make_jaxpr(f, return_shape=True)(*primals)
    leaves, tree = jax.tree.flatten(primals)
    outs, pull = _reverse(program, leaves, [True] * len(leaves))
    pullback = lambda cotangents: tree.unflatten(pull(jax.tree.leaves(cotangents)))
    return jax.tree.unflatten(jax.tree.structure(shape), outs), pullback


def grad(f: Callable) -> Callable:
    """The gradient of a scalar function of one tree, like `jax.grad`."""

    def gradient(x):
        y, pull = reverse(f, x)
        return pull(jnp.ones_like(y))[0]

    return gradient


def _called(eqn) -> ClosedJaxpr:
    inside = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
    return inside if isinstance(inside, ClosedJaxpr) else ClosedJaxpr(inside, ())


def _environment(program: ClosedJaxpr, args):
    """The values of the variables of a program so far, and a function that reads a variable."""
    variables = [*program.jaxpr.constvars, *program.jaxpr.invars]
    env = dict(zip(variables, [*program.consts, *args], strict=True))
    return env, lambda v: v.val if isinstance(v, Literal) else env[v]


def _no_rule(eqn):
    raise NotImplementedError(
        f"no rule of differentiation for the primitive {eqn.primitive.name!r}"
    )


def _result(eqn, values):
    """The results of the equation, as a list."""
    results = eqn.primitive.bind(*values, **eqn.params)
    return list(results) if eqn.primitive.multiple_results else [results]


def _forward(program: ClosedJaxpr, args, tangents):
    """Values and tangents of the outputs; a tangent of None is a symbolic zero."""
    env, read = _environment(program, args)
    tangent_env = dict(zip(program.jaxpr.invars, tangents, strict=True))
    tangent = lambda v: None if isinstance(v, Literal) else tangent_env.get(v)
    for eqn in program.jaxpr.eqns:
        name, x = eqn.primitive.name, [read(v) for v in eqn.invars]
        t = [tangent(v) for v in eqn.invars]
        if name in CALLS:
            y, t_y = _forward(_called(eqn), x, t)
        elif name == "scan":
            y, t_y = _scan_forward(eqn, x, t)
        else:
            y = _result(eqn, x)
            constant = name in CONSTANT or all(t_i is None for t_i in t)
            t_y = [None] * len(y) if constant else _push(eqn, x, t, y)
        env |= zip(eqn.outvars, y, strict=True)
        tangent_env |= zip(eqn.outvars, t_y, strict=True)
    outs = [read(v) for v in program.jaxpr.outvars]
    return outs, [_filled(tangent(v), y) for v, y in zip(program.jaxpr.outvars, outs, strict=True)]


def _push(eqn, x, t, y):
    """Tangents of the results of an equation."""
    name, active = eqn.primitive.name, [i for i, t_i in enumerate(t) if t_i is not None]
    if name in ELEMENTWISE:
        slopes = ELEMENTWISE[name](*x, y[0], **eqn.params)
        pushed = lambda i: jnp.broadcast_to(slopes[i] * t[i], y[0].shape).astype(y[0].dtype)
        return [sum(pushed(i) for i in active if slopes[i] is not None)]
    if name in LINEAR:
        linear = LINEAR[name].arguments or len(x)
        return _result(eqn, [_filled(t[i], x[i]) if i < linear else x[i] for i in range(len(x))])
    if name in BILINEAR:
        pushed = lambda i: eqn.primitive.bind(
            *(t[j] if i == j else x[j] for j in (0, 1)), **eqn.params
        )
        return [sum(pushed(i) for i in active)]
    if name in ("reduce_max", "reduce_min"):
        return [jnp.sum(reduced_weight(x[0], y[0], eqn.params["axes"]) * t[0], eqn.params["axes"])]
    return _no_rule(eqn)


def _reverse(program: ClosedJaxpr, args, wanted):
    """Values of the outputs and a pullback; `wanted` selects the arguments that get a cotangent.

    Equations that depend on none of these arguments are not pulled back.
    """
    env, read = _environment(program, args)
    active = {
        v
        for v, w in zip(program.jaxpr.invars, wanted, strict=True)
        if w and jnp.issubdtype(v.aval.dtype, jnp.floating)
    }
    pulls = []
    for eqn in program.jaxpr.eqns:
        name, x = eqn.primitive.name, [read(v) for v in eqn.invars]
        is_active = [not isinstance(v, Literal) and v in active for v in eqn.invars]
        if name in CALLS:
            y, pull = _reverse(_called(eqn), x, is_active)
        elif name == "scan":
            y, pull = _scan_reverse(eqn, x)
        else:
            y = _result(eqn, x)
            constant = name in CONSTANT or not any(is_active)
            pull = None if constant else _pullback(eqn, x, y, is_active)
        pulls.append(pull)
        env |= zip(eqn.outvars, y, strict=True)
        if any(is_active) and name not in CONSTANT:
            active |= {v for v in eqn.outvars if jnp.issubdtype(v.aval.dtype, jnp.floating)}

    def pull_all(cotangents):
        total = {}

        def accumulate(v, c):
            if c is not None and not isinstance(v, Literal) and v in active:
                total[v] = c if v not in total else total[v] + c

        for v, c in zip(program.jaxpr.outvars, cotangents, strict=True):
            accumulate(v, c)
        for eqn, pull in zip(reversed(program.jaxpr.eqns), reversed(pulls), strict=True):
            c_y = [total.pop(v, None) for v in eqn.outvars]
            if pull is not None and any(c is not None for c in c_y):
                c_y = [_filled(c, env[v]) for c, v in zip(c_y, eqn.outvars, strict=True)]
                for v, c in zip(eqn.invars, pull(c_y), strict=True):
                    accumulate(v, c)
        return [_filled(total.get(v), env[v]) for v in program.jaxpr.invars]

    return [read(v) for v in program.jaxpr.outvars], pull_all


def _pullback(eqn, x, y, is_active):
    """Maps cotangents of the results of an equation to cotangents of its arguments, None for 0."""
    name = eqn.primitive.name
    if name in ELEMENTWISE:
        slopes = ELEMENTWISE[name](*x, y[0], **eqn.params)
        return lambda c: [
            None if slope is None else _summed(slope * c[0], x_i)
            for slope, x_i in zip(slopes, x, strict=True)
        ]
    if name in LINEAR:
        return lambda c: LINEAR[name].transpose(c, *x, **eqn.params)
    if name in BILINEAR:
        return lambda c: [
            BILINEAR[name](i, c[0], *x, **eqn.params) if is_active[i] else None for i in (0, 1)
        ]
    if name in ("reduce_max", "reduce_min"):
        weight = reduced_weight(x[0], y[0], eqn.params["axes"])
        return lambda c: [weight * jnp.expand_dims(c[0], eqn.params["axes"])]
    return _no_rule(eqn)


def _summed(c, x):
    """Sums a cotangent over the axes along which x was broadcast, in the dtype of x."""
    if jnp.ndim(x) == 0 or jnp.ndim(c) == 0:
        return jnp.sum(c).astype(jnp.result_type(x)).reshape(jnp.shape(x))
    widened = tuple(a for a, size in enumerate(x.shape) if size == 1 != c.shape[a])
    return jnp.sum(c, widened, keepdims=True).astype(x.dtype)


def _filled(c, like):
    """The cotangent or tangent c, or zeros if it is None."""
    return jnp.zeros_like(like) if c is None else c


def _parts(eqn, values):
    """The constants, the carry and the stacked inputs of a scan."""
    if "ft_in" in eqn.params:  # since JAX 0.11
        n, carried = (len(list(part.vals)) for part in eqn.params["ft_in"].unpack()[:2])
    else:
        n, carried = eqn.params["num_consts"], eqn.params["num_carry"]
    m = n + carried
    return list(values[:n]), list(values[n:m]), list(values[m:])


def _scan_forward(eqn, x, t):
    """Scans over values and tangents together."""
    consts, carry, _ = _parts(eqn, x)
    t = [_filled(t_i, x_i) for t_i, x_i in zip(t, x, strict=True)]
    t_consts, t_carry, _ = _parts(eqn, t)
    inputs, body, n = (_parts(eqn, x)[2], _parts(eqn, t)[2]), eqn.params["jaxpr"], len(carry)

    def step(carries, inputs):
        y, t_y = _forward(
            body, [*consts, *carries[0], *inputs[0]], [*t_consts, *carries[1], *inputs[1]]
        )
        return (y[:n], t_y[:n]), (y[n:], t_y[n:])

    (y, t_y), (ys, t_ys) = jax.lax.scan(
        step, (carry, t_carry), inputs, length=eqn.params["length"], reverse=eqn.params["reverse"]
    )
    return [*y, *ys], [*t_y, *t_ys]


def _scan_reverse(eqn, x):
    """Runs the scan and keeps the carry before every iteration; the pullback scans in reverse."""
    consts, carry, inputs = _parts(eqn, x)
    body, n = eqn.params["jaxpr"], len(carry)
    length, backward = eqn.params["length"], eqn.params["reverse"]

    def step(carry, inputs):
        y = jaxpr_as_fun(body)(*consts, *carry, *inputs)
        return y[:n], (y[n:], carry)

    last, (ys, carries) = jax.lax.scan(step, carry, inputs, length=length, reverse=backward)

    def pull(c):
        def step_back(c_carry, kept):
            carry, inputs, c_ys = kept
            values = [*consts, *carry, *inputs]
            _, pull = _reverse(body, values, [True] * len(values))
            c_consts, c_carry, c_inputs = _parts(eqn, pull([*c_carry, *c_ys]))
            return c_carry, (c_consts, c_inputs)

        c_carry, (c_consts, c_inputs) = jax.lax.scan(
            step_back, c[:n], (carries, inputs, c[n:]), length=length, reverse=not backward
        )
        return [*[jnp.sum(c_i, 0) for c_i in c_consts], *c_carry, *c_inputs]

    return [*last, *ys], pull
