"""Cost of a program from its jaxpr, without compiling it: floating point operations, peak memory.

The counts follow the traced program, including gradients and rematerialisation, into scans, calls
and branches. `flops` counts matrix products and convolutions, two operations per multiply-add,
without the zeros that dilation inserts into an image. Other operations are negligible.
A branch whose condition follows from the shapes, such as a block of keys that is masked for all
its queries, counts as taken or not taken; any other branch counts as its most expensive case.
A `while` counts as one iteration, because its trip count is unknown.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
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
CALLS = {
    "jit",
    "pjit",
    "closed_call",
    "eval_jaxpr",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "checkpoint",
    "remat2",
}
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


VIEWS = {"reshape", "squeeze", "broadcast_in_dim"}
"""primitives whose result is another view of their operand"""
EVALUATED = 2**24  # largest array, in elements, that is computed to decide a branch


def flops(jaxpr: ClosedJaxpr) -> int:
    """Floating point operations of one call."""
    count, _ = _flops(jaxpr, [None] * len(jaxpr.jaxpr.invars), {})
    return count


def nbytes(aval) -> int:
    """Bytes of an array; keys count as 0."""
    dtype = getattr(aval, "dtype", None)
    if dtype is None or jax.dtypes.issubdtype(dtype, jax.dtypes.extended):
        return 0
    return aval.size * dtype.itemsize


def peak_bytes(jaxpr: ClosedJaxpr) -> int:
    """Peak memory of one call in bytes, excluding its arguments."""
    return sum(map(nbytes, peak(jaxpr)))


def peak(jaxpr: ClosedJaxpr, size: Callable = nbytes) -> list[jax.ShapeDtypeStruct]:
    """The arrays in memory when one call needs the most bytes, excluding its arguments.

    The results reuse the memory of the arguments, as in a training step that donates its state.
    A value lives from the equation that computes it to its last reader. Elementwise and reshape
    results are assumed fused, hence free, unless a matrix product, a scan or the caller reads them.
    A scan updates its carry in place.
    size: bytes of an array on one device, by its shape and dtype.
    """
    values = _peak(jaxpr.jaxpr, size, results=False)
    return [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in values]


def unfused_bytes(jaxpr: ClosedJaxpr) -> int:
    """Bytes that move if every operation reads its arrays from memory and writes its results.

    Reshaped and broadcast arrays are views. A scan or a branch counts its arguments and results.
    """
    source, total = {}, 0
    for op in _operations(jaxpr.jaxpr, {}):
        if op.name in VIEWS and op.reads:
            source[op.makes[0]] = source.get(op.reads[0], op.reads[0])
        else:
            total += sum(nbytes(source.get(v, v).aval) for v in (*op.reads, *op.makes))
    return total


def _subs(eqn) -> list[ClosedJaxpr]:
    """The jaxprs inside an equation."""
    values = [
        x
        for value in eqn.params.values()
        for x in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    return [
        ClosedJaxpr(x, ()) if isinstance(x, Jaxpr) else x
        for x in values
        if isinstance(x, (ClosedJaxpr, Jaxpr))
    ]


def _flops(jaxpr: ClosedJaxpr, arguments: Sequence, known: dict) -> tuple[int, list]:
    """Operations of `jaxpr`, and its results as far as they follow from `arguments`.

    An argument or result that is not known is None.  known: results of earlier calls for scans.
    """
    inner = jaxpr.jaxpr
    if inner not in known:
        known[inner] = _deciding(inner, known)
    total, eqns = known[inner]
    env = dict(zip((*inner.constvars, *inner.invars), (*jaxpr.consts, *arguments)))
    read = lambda v: v.val if isinstance(v, Literal) else env.get(v)
    for eqn in eqns:
        count, results = _cost(eqn, [read(v) for v in eqn.invars], known)
        total += count
        env |= zip(eqn.outvars, results)
    return total, [read(v) for v in inner.outvars]


def _deciding(jaxpr: Jaxpr, known: dict) -> tuple[int, list]:
    """Operations of the equations on which no branch and no integer result of `jaxpr` depends,
    and the other equations, in order.
    """
    total, eqns = 0, []
    needed = {v for v in jaxpr.outvars if isinstance(v, Var) and _is_evaluated(v.aval)}
    for eqn in reversed(jaxpr.eqns):
        branches = eqn.primitive.name == "cond" or any(map(_branches, _subs(eqn)))
        if branches or not needed.isdisjoint(eqn.outvars):
            needed |= {v for v in eqn.invars if isinstance(v, Var) and _is_evaluated(v.aval)}
            eqns.append(eqn)
        else:
            total += _cost(eqn, [None] * len(eqn.invars), known)[0]
    return total, eqns[::-1]


def _is_evaluated(aval) -> bool:
    """True for arrays of integers that are small enough to be computed."""
    return 0 < nbytes(aval) and aval.dtype.kind in "iub" and aval.size <= EVALUATED


def _cost(eqn, values: list, known: dict) -> tuple[int, list]:
    """Operations of an equation, and its results as far as they follow from `values`."""
    name, subs = eqn.primitive.name, _subs(eqn)
    if name in CALLS:
        return _flops(subs[0], values, known)
    if name == "scan":
        return _scan_flops(eqn, subs[0], values, known)
    if name == "cond" and values[0] is not None:
        return _flops(subs[int(values[0])], values[1:], known)
    unknown = [None] * len(eqn.outvars)
    if name == "dot_general":
        return _matmul_flops(eqn), unknown
    if name == "conv_general_dilated":
        return _convolution_flops(eqn), unknown
    if subs:
        inside = [_flops(sub, [None] * len(sub.jaxpr.invars), known)[0] for sub in subs]
        return max(inside) if name == "cond" else sum(inside), unknown
    return 0, _evaluated(eqn, values) or unknown


def _scan_flops(eqn, body: ClosedJaxpr, values: list, known: dict) -> tuple[int, list]:
    """Operations of a scan, and its results as far as they follow from `values`.

    Iterations are counted one by one if the body has a branch, or no operations but results that a
    branch may need; equal iterations are counted once.
    """
    n, (consts, carries) = eqn.params["length"], _scan_sizes(eqn)
    start = consts + carries
    count, _ = _flops(body, [None] * len(values), known)
    if count and not _branches(body):
        return n * count, [None] * len(eqn.outvars)
    total, carry, rows = 0, values[consts:start], []
    xs = [None if x is None else np.asarray(x) for x in values[start:]]
    order = range(n)[::-1] if eqn.params["reverse"] else range(n)
    for i in order:
        arguments = [*values[:consts], *carry, *(None if x is None else x[i] for x in xs)]
        place = (
            id(body.jaxpr),
            *(None if x is None else np.asarray(x).tobytes() for x in arguments),
        )
        if place not in known:
            known[place] = _flops(body, arguments, known)
        count, results = known[place]
        total += count
        carry = results[: start - consts]
        rows.append(results[start - consts :])
    stacked = [
        None if any(x is None for x in column) else np.stack([column[i] for i in order])
        for column in zip(*rows)
    ]
    return total, [*carry, *stacked]


def _scan_sizes(eqn) -> tuple[int, int]:
    """The numbers of constants and of carries of a scan."""
    if "num_consts" in eqn.params:  # before jax 0.11
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = map(list, eqn.params["ft_in"].update(eqn.invars).unpack())
    return len(consts), len(carry)


def _branches(jaxpr: ClosedJaxpr) -> bool:
    """True if `jaxpr` has a `cond`, at any depth."""
    return any(
        eqn.primitive.name == "cond" or any(map(_branches, _subs(eqn))) for eqn in jaxpr.jaxpr.eqns
    )


def _evaluated(eqn, values: list) -> list | None:
    """The results of an equation on integers; None if a value is not known or an array is large."""
    if any(x is None for x in values) or eqn.effects:
        return None
    if not all(_is_evaluated(v.aval) for v in (*eqn.invars, *eqn.outvars)):
        return None
    results = eqn.primitive.bind(*values, **eqn.params)
    return results if eqn.primitive.multiple_results else [results]


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

    aval: jax.core.ShapedArray


@dataclass(frozen=True)
class _Operation:
    """An equation after calls are inlined, and the jaxprs of its scan or branches."""

    name: str
    reads: list[_Value]
    makes: list[_Value]
    inside: list[Jaxpr]
    carried: list[tuple[_Value | None, _Value]] = field(default_factory=list)
    """first and last value of each carry of a scan; None for a literal"""

    @property
    def materialises(self) -> bool:
        return self.name in MATERIALISES or bool(self.inside)


def _operations(jaxpr: Jaxpr, env: dict[Var, _Value]) -> Iterator[_Operation]:
    """Yields the equations of `jaxpr` in order, and adds the values of its variables to `env`."""
    for eqn in jaxpr.eqns:
        reads = [
            env.setdefault(v, _Value(v.aval)) if isinstance(v, Var) else None for v in eqn.invars
        ]
        subs = [sub.jaxpr for sub in _subs(eqn)]
        if eqn.primitive.name in CALLS:
            [called] = subs
            inner = {
                v: value if value is not None else _Value(jax.core.ShapedArray((), np.int32))
                for v, value in zip(called.invars, reads)
            }
            yield from _operations(called, inner)
            env |= {
                v: inner.setdefault(r, _Value(r.aval)) if isinstance(r, Var) else _Value(v.aval)
                for v, r in zip(eqn.outvars, called.outvars)
            }
        else:
            env |= {v: _Value(v.aval) for v in eqn.outvars}
            makes = [env[v] for v in eqn.outvars]
            carried = []
            if eqn.primitive.name == "scan":
                first, n = _scan_sizes(eqn)
                carried = list(zip(reads[first : first + n], makes))
            reads = [r for r in reads if r is not None]
            yield _Operation(eqn.primitive.name, reads, makes, subs, carried)


def _peak(jaxpr: Jaxpr, size: Callable, results: bool, carry: int = 0) -> list[_Value]:
    """The values in memory at the peak of `jaxpr`, its results among them if `results`.

    The first `carry` results overwrite the first arguments if an elementwise operation makes them.
    """
    env = {v: _Value(v.aval) for v in (*jaxpr.invars, *jaxpr.constvars)}
    arguments = set(env.values())
    operations = list(_operations(jaxpr, env))
    returned = [env.get(v) if results else None for v in jaxpr.outvars]
    written = {v for op in operations if op.materialises for v in op.makes}
    in_place = {v for v in returned[:carry] if v not in written}
    last_read, stored = _lifetimes(operations, {*returned} - in_place - {None})
    bytes_of = lambda values: sum(size(v.aval) for v in values)
    live, held, most, peak = {}, 0, 0, []
    freed = {}
    for n, op in enumerate(operations):
        made = [v for v in op.makes if v in stored and v not in arguments]
        # a scan writes a carry into the memory of its first value, if nothing reads that later
        reused = {last for first, last in op.carried if first in live and last_read[first] == n}
        live |= dict.fromkeys(v for v in made if v not in reused)
        held += bytes_of(v for v in made if v not in reused)
        scratch = _scratch(op, size)
        if held + bytes_of(scratch) > most:
            most, peak = held + bytes_of(scratch), [*live, *scratch]
        for v in made:
            freed.setdefault(last_read.get(v, n), []).append(v)
        live |= dict.fromkeys(v for v in made if v in reused)
        held += bytes_of(v for v in made if v in reused)
        for v in freed.pop(n, ()):
            del live[v]
            held -= size(v.aval)
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


def _scratch(op: _Operation, size: Callable) -> list[_Value]:
    """The values of the jaxprs inside an operation, beyond the results of the operation."""
    carry = len(op.carried)
    peaks = [_peak(sub, size, results=op.name == "scan", carry=carry) for sub in op.inside]
    return max(peaks, key=lambda values: sum(size(v.aval) for v in values), default=[])
