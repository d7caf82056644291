"""What a program costs, read off its jaxpr without compiling it: floating point operations and memory at the peak.

Both follow the program as JAX traced it, gradients and recomputation included, into scans, calls and branches. Operations of matrix products
and convolutions are counted, two for a multiplication and an addition; the rest is small beside them. A `while` counts once, its number
of turns being unknown.
"""

import math

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_prod", "argmax", "argmin"}
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
    found = [x for value in eqn.params.values() for x in (value if isinstance(value, (tuple, list)) else (value,))]
    return [x.jaxpr if isinstance(x, ClosedJaxpr) else x for x in found if isinstance(x, (ClosedJaxpr, Jaxpr))]


def _flops(jaxpr: Jaxpr) -> int:
    total = 0
    for eqn in jaxpr.eqns:
        inside = [_flops(sub) for sub in _subs(eqn)]
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += 2 * eqn.outvars[0].aval.size * math.prod(eqn.invars[0].aval.shape[a] for a in contracted)
        elif eqn.primitive.name == "conv_general_dilated":
            kernel = eqn.invars[1].aval
            channels_out = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * eqn.outvars[0].aval.size * kernel.size // channels_out
        elif eqn.primitive.name == "scan":
            total += eqn.params["length"] * sum(inside)
        elif eqn.primitive.name == "cond":
            total += max(inside)
        else:
            total += sum(inside)
    return total


def _peak(jaxpr: Jaxpr, results: bool = True) -> int:
    last, stored = {}, {v for v in jaxpr.outvars if isinstance(v, Var)} if results else set()
    last |= dict.fromkeys(stored, len(jaxpr.eqns))
    for n, eqn in reversed(list(enumerate(jaxpr.eqns))):
        heavy = eqn.primitive.name in MATERIALISES or bool(_subs(eqn))
        # a fused operation is carried out where its results are read
        when = n if heavy or stored & set(eqn.outvars) else max((last.get(v, n) for v in eqn.outvars), default=n)
        for v in eqn.invars:
            if isinstance(v, Var):
                last[v] = max(last.get(v, -1), when)
                if heavy and eqn.primitive.name not in REDUCTIONS:
                    stored.add(v)
        stored |= set(eqn.outvars) if heavy else set()
    arguments, live, most, dies = {*jaxpr.invars, *jaxpr.constvars}, 0, 0, {}
    for n, eqn in enumerate(jaxpr.eqns):
        made = [v for v in eqn.outvars if v in stored and v not in arguments]
        size = sum(_bytes(v) for v in made)
        returned = sum(_bytes(v) for sub in _subs(eqn) for v in sub.outvars if isinstance(v, Var)) if eqn.primitive.name != "scan" else 0
        inside = max((_peak(sub) for sub in _subs(eqn)), default=0)
        most = max(most, live + size + max(inside - returned, 0))
        live += size
        for v in made:
            dies.setdefault(last.get(v, n), []).append(v)
        live -= sum(_bytes(v) for v in dies.pop(n, ()))
    return max(most, live)


def _bytes(v) -> int:
    return 0 if isinstance(v, Literal) or not hasattr(v.aval, "dtype") or jax.dtypes.issubdtype(v.aval.dtype, jax.dtypes.extended) else v.aval.size * v.aval.dtype.itemsize
