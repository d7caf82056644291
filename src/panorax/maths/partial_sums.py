"""Sums that devices must exchange in a program on their shards, found from jaxprs."""

import math
from collections.abc import Iterator

import jax
from jax.extend.core import ClosedJaxpr

from panorax.maths import cost


def partial_sums(whole: ClosedJaxpr, part: ClosedJaxpr) -> list[tuple[jax.core.ShapedArray, int]]:
    """The results of `part` that devices must all-reduce, and how often each is computed.

    whole: the program on whole arrays.  part: the same program on the shards of one device. A sum
    over fewer elements than in `whole` is partial: a row-parallel product (Shoeybi et al. 2019),
    its counterpart in the backward pass, a lookup in a table whose rows are split, a softmax over a
    split axis. Raises ValueError if the programs have different numbers of
    sums.
    """
    pairs = zip(_sums(whole), _sums(part), strict=True)
    return [(result, times) for (_, _, n), (result, times, m) in pairs if n != m]


def _sums(jaxpr: ClosedJaxpr, times: int = 1) -> Iterator[tuple[jax.core.ShapedArray, int, int]]:
    """(result, number of executions, summed elements) of each sum of a jaxpr, at any depth."""
    for eqn in jaxpr.jaxpr.eqns:
        inside = times * eqn.params["length"] if eqn.primitive.name == "scan" else times
        for sub in cost._subs(eqn):
            yield from _sums(sub, inside)
        if axes := _summed_axes(eqn):
            shape = eqn.invars[0].aval.shape
            yield eqn.outvars[0].aval, times, math.prod(shape[axis] for axis in axes)


def _summed_axes(eqn) -> tuple[int, ...]:
    """Axes of the first operand over which an equation sums, or from which it takes entries."""
    name, params = eqn.primitive.name, eqn.params
    if name == "dot_general":
        return params["dimension_numbers"][0][0]
    if name == "conv_general_dilated":
        return params["dimension_numbers"].lhs_spec[1:2]
    if name == "gather":
        return params["dimension_numbers"].start_index_map
    return params["axes"] if name in cost.REDUCTIONS else ()
