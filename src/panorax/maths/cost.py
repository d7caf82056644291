"""Cost of a program from its jaxpr, without compiling it: floating point operations, peak memory.

The counts follow the traced program, including gradients and rematerialisation, into scans, calls
and branches. `flops` counts matrix products and convolutions, two operations per multiply-add,
without the zeros that dilation inserts into an image. Other operations are negligible.
A `while` counts as one iteration, because its trip count is unknown.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

REDUCTIONS = {
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_and",
    "reduce_or",
    "reduce_prod",
    "argmax",
    "argmin",
}
"""primitives whose operands are fused into them"""
CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}
"""primitives that are inlined"""
MATERIALISES = {
    "dot_general",
    "conv_general_dilated",
    "gather",
    "scatter",
    "scatter-add",
    "dynamic_update_slice",
    "sort",
    "top_k",
    "cumsum",
    "cumlogsumexp",
    "random_bits",
    "threefry2x32",
    "scan",
    "while",
    "cond",
    "concatenate",
    *REDUCTIONS,
}
"""primitives whose results are stored in memory"""


def flops(jaxpr: ClosedJaxpr) -> int:
    """Floating point operations of one call."""
    return _flops(jaxpr.jaxpr)


def peak_bytes(jaxpr: ClosedJaxpr) -> int:
    """Peak memory of one call in bytes, excluding its arguments.

    The results reuse the memory of the arguments, as in a training step that donates its state.
    A value lives from the equation that computes it to its last reader. Elementwise and reshape
    results are assumed fused, hence free, unless a matrix product, a scan or the caller reads them.
    """
    return _peak(jaxpr.jaxpr, results=False)


def _subs(eqn) -> list[Jaxpr]:
    """The jaxprs inside an equation."""
    values = [
        x
        for value in eqn.params.values()
        for x in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    return [
        x.jaxpr if isinstance(x, ClosedJaxpr) else x
        for x in values
        if isinstance(x, (ClosedJaxpr, Jaxpr))
    ]


def _flops(jaxpr: Jaxpr) -> int:
    total = 0
    for eqn in jaxpr.eqns:
        inside = [_flops(sub) for sub in _subs(eqn)]
        if eqn.primitive.name == "dot_general":
            total += _matmul_flops(eqn)
        elif eqn.primitive.name == "conv_general_dilated":
            total += _convolution_flops(eqn)
        elif eqn.primitive.name == "scan":
            total += eqn.params["length"] * sum(inside)
        elif eqn.primitive.name == "cond":
            total += max(inside)
        else:
            total += sum(inside)
    return total


def _matmul_flops(eqn) -> int:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    summed = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
    return 2 * eqn.outvars[0].aval.size * summed


def _convolution_flops(eqn) -> int:
    kernel = eqn.invars[1].aval
    channels_out = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    dilation = math.prod(eqn.params["lhs_dilation"])
    return 2 * eqn.outvars[0].aval.size * kernel.size // channels_out // dilation


@dataclass(eq=False)
class _Value:
    """One result of an equation; two values are equal only if they are the same object."""

    bytes: int


@dataclass(frozen=True)
class _Operation:
    """An equation after calls are inlined, and the jaxprs of its scan, branches or remat."""

    name: str
    reads: list[_Value]
    makes: list[_Value]
    inside: list[Jaxpr]

    @property
    def materialises(self) -> bool:
        return self.name in MATERIALISES or bool(self.inside)


def _operations(jaxpr: Jaxpr, env: dict[Var, _Value]) -> Iterator[_Operation]:
    """Yields the equations of `jaxpr` in order, and adds the values of its variables to `env`."""
    for eqn in jaxpr.eqns:
        reads = [
            env.setdefault(v, _Value(_bytes(v))) if isinstance(v, Var) else None for v in eqn.invars
        ]
        if eqn.primitive.name in CALLS:
            [called] = _subs(eqn)
            inner = {
                v: value if value is not None else _Value(0)
                for v, value in zip(called.invars, reads)
            }
            yield from _operations(called, inner)
            env |= {
                v: inner.setdefault(r, _Value(_bytes(r)))
                if isinstance(r, Var)
                else _Value(_bytes(v))
                for v, r in zip(eqn.outvars, called.outvars)
            }
        else:
            env |= {v: _Value(_bytes(v)) for v in eqn.outvars}
            yield _Operation(
                eqn.primitive.name,
                [r for r in reads if r is not None],
                [env[v] for v in eqn.outvars],
                _subs(eqn),
            )


def _peak(jaxpr: Jaxpr, results: bool = True) -> int:
    """Peak bytes of `jaxpr`, whose results count if `results`."""
    env = {v: _Value(_bytes(v)) for v in (*jaxpr.invars, *jaxpr.constvars)}
    arguments = set(env.values())
    operations = list(_operations(jaxpr, env))
    returned = {env[v] for v in jaxpr.outvars if isinstance(v, Var)} if results else set()
    last_read, stored = _lifetimes(operations, returned)
    live, peak, freed = 0, 0, {}
    for n, op in enumerate(operations):
        made = [v for v in op.makes if v in stored and v not in arguments]
        live += sum(v.bytes for v in made)
        peak = max(peak, live + _scratch(op))
        for v in made:
            freed.setdefault(last_read.get(v, n), []).append(v)
        live -= sum(v.bytes for v in freed.pop(n, ()))
    return peak


def _lifetimes(
    operations: list[_Operation], stored: set[_Value]
) -> tuple[dict[_Value, int], set[_Value]]:
    """The last operation that reads each value, and the values in memory, `stored` among them."""
    stored, last_read = set(stored), dict.fromkeys(stored, len(operations))
    for n, op in reversed(list(enumerate(operations))):
        # a fused operation runs when its results are read
        if op.materialises or stored & set(op.makes):
            runs = n
        else:
            runs = max((last_read.get(v, n) for v in op.makes), default=n)
        for v in op.reads:
            last_read[v] = max(last_read.get(v, -1), runs)
        if op.materialises:
            stored |= {*op.makes, *(() if op.name in REDUCTIONS else op.reads)}
    return last_read, stored


def _scratch(op: _Operation) -> int:
    """Bytes that the jaxprs inside an operation need beyond the results of the operation."""
    inside = max((_peak(sub) for sub in op.inside), default=0)
    if op.name == "scan":
        return inside
    returned = sum(_bytes(v) for sub in op.inside for v in sub.outvars)
    return max(inside - returned, 0)


def _bytes(v) -> int:
    """Bytes of a variable; literals and keys count as 0."""
    dtype = getattr(v.aval, "dtype", None)
    if isinstance(v, Literal) or dtype is None:
        return 0
    if jax.dtypes.issubdtype(dtype, jax.dtypes.extended):
        return 0
    return v.aval.size * dtype.itemsize
