"""What a program costs, read off its jaxpr without compiling it: floating point operations and memory at the peak.

Both follow the program as JAX traced it, gradients and recomputation included, into scans, calls and branches. Operations of matrix products
and convolutions are counted, two for a multiplication and an addition, those with the zeros between the pixels of a dilated image left out; the rest is
small beside them. A `while` counts once, its number of turns being unknown.
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
CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}
MATERIALISES = {
    "dot_general", "conv_general_dilated", "gather", "scatter", "scatter-add", "dynamic_update_slice", "sort", "top_k", "cumsum", "cumlogsumexp",
    "random_bits", "threefry2x32", "scan", "while", "cond", "concatenate", *REDUCTIONS,
}  # fmt: skip


def flops(jaxpr: ClosedJaxpr) -> int:
    """Operations of one call."""
    return _flops(jaxpr.jaxpr)


def peak_bytes(jaxpr: ClosedJaxpr) -> int:
    """Bytes that a call needs at its peak besides its arguments, whose place its results take, as those of a training step do.

    A value lives from the equation that makes it to the last that reads it. What only passes through elementwise operations and changes of
    shape on its way to a reduction or to more of them is fused, as every XLA backend does, and takes nothing; what a matrix product, a scan
    or the caller reads is stored.
    """
    return _peak(jaxpr.jaxpr, results=False)


def _subs(eqn) -> list[Jaxpr]:
    """The jaxprs inside an equation."""
    found = [
        x
        for value in eqn.params.values()
        for x in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    return [
        x.jaxpr if isinstance(x, ClosedJaxpr) else x
        for x in found
        if isinstance(x, (ClosedJaxpr, Jaxpr))
    ]


def _flops(jaxpr: Jaxpr) -> int:
    total = 0
    for eqn in jaxpr.eqns:
        inside = [_flops(sub) for sub in _subs(eqn)]
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += (
                2
                * eqn.outvars[0].aval.size
                * math.prod(eqn.invars[0].aval.shape[a] for a in contracted)
            )
        elif eqn.primitive.name == "conv_general_dilated":
            kernel = eqn.invars[1].aval
            channels_out = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += (
                2
                * eqn.outvars[0].aval.size
                * kernel.size
                // channels_out
                // math.prod(eqn.params["lhs_dilation"])
            )
        elif eqn.primitive.name == "scan":
            total += eqn.params["length"] * sum(inside)
        elif eqn.primitive.name == "cond":
            total += max(inside)
        else:
            total += sum(inside)
    return total


@dataclass(eq=False)
class _Value:
    """What one equation makes, with its bytes."""

    bytes: int


@dataclass(frozen=True)
class _Operation:
    """An equation with calls opened: what it reads and makes, and the programs inside it (of a scan, a branch or a recomputation)."""

    name: str
    reads: list[_Value]
    makes: list[_Value]
    inside: list[Jaxpr]


def _operations(jaxpr: Jaxpr, env: dict[Var, _Value]) -> Iterator[_Operation]:
    """The equations of `jaxpr` in order, the values of its variables put into `env`."""
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
    env = {v: _Value(_bytes(v)) for v in (*jaxpr.invars, *jaxpr.constvars)}
    arguments = set(env.values())
    operations = list(_operations(jaxpr, env))
    stored = {env[v] for v in jaxpr.outvars if isinstance(v, Var)} if results else set()
    last = dict.fromkeys(stored, len(operations))
    for n, op in reversed(list(enumerate(operations))):
        heavy = op.name in MATERIALISES or bool(op.inside)
        # a fused operation is carried out where its results are read
        when = (
            n
            if heavy or stored & set(op.makes)
            else max((last.get(v, n) for v in op.makes), default=n)
        )
        for v in op.reads:
            last[v] = max(last.get(v, -1), when)
        if heavy:
            stored |= {*op.makes, *(() if op.name in REDUCTIONS else op.reads)}
    live, most, dies = 0, 0, {}
    for n, op in enumerate(operations):
        made = [v for v in op.makes if v in stored and v not in arguments]
        returned = (
            0 if op.name == "scan" else sum(_bytes(v) for sub in op.inside for v in sub.outvars)
        )
        inside = max((_peak(sub) for sub in op.inside), default=0)
        live += sum(v.bytes for v in made)
        most = max(most, live + max(inside - returned, 0))
        for v in made:
            dies.setdefault(last.get(v, n), []).append(v)
        live -= sum(v.bytes for v in dies.pop(n, ()))
    return most


def _bytes(v) -> int:
    """Bytes of a variable; literals and keys take none."""
    dtype = getattr(v.aval, "dtype", None)
    return (
        0
        if isinstance(v, Literal)
        or dtype is None
        or jax.dtypes.issubdtype(dtype, jax.dtypes.extended)
        else v.aval.size * dtype.itemsize
    )
