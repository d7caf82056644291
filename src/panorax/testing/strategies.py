"""Hypothesis strategies for arrays, parameter trees and configs.

They need hypothesis (`pip install 'panorax[test]'`). The caller fixes the shapes, because JAX
compiles every new shape; the values vary.
"""

import dataclasses
import math
import types
import typing

import jax
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from panorax.core.ranges import Range
from panorax.core.spec import map_spec

SEEDS = st.integers(0, 2**31 - 1)


def arrays(shape: tuple[int, ...], dtype=np.float32, scale: float = 1.0) -> st.SearchStrategy:
    """Arrays of one shape, normal with standard deviation `scale`."""
    return SEEDS.map(
        lambda seed: (scale * np.random.default_rng(seed).normal(size=shape)).astype(dtype)
    )


def parameters(spec, scale: float = 0.5) -> st.SearchStrategy:
    """Parameter trees of a spec, normal even where the initialiser of a parameter gives zeros."""

    def draw(seed: int):
        rng = np.random.default_rng(seed)
        normal = lambda p: (scale * rng.normal(size=p.shape)).astype(np.float32)
        return map_spec(normal, spec)

    return SEEDS.map(draw)


def keys() -> st.SearchStrategy:
    """Typed JAX keys."""
    return SEEDS.map(jax.random.key)


@st.composite
def configs(draw, kind: type, largest: int = 8, **fixed):
    """Configs of a dataclass type, with numbers in their ranges and of magnitude up to `largest`.

    Fields in `fixed` have these values. Configs that raise ValueError are not drawn.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    values = {
        f.name: draw(_of_hint(hints[f.name], largest))
        for f in dataclasses.fields(kind)
        if f.name not in fixed
    }
    try:
        return kind(**values, **fixed)
    except ValueError:
        assume(False)


def _of_hint(hint, largest: int) -> st.SearchStrategy:
    """Values of a type hint."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        allowed = next((a for a in args[1:] if isinstance(a, Range)), Range(-math.inf))
        return _numbers(args[0], allowed, largest)
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(_of_hint(arg, largest) for arg in args))
    if origin is tuple and args[1:] == (...,):
        return st.lists(_of_hint(args[0], largest), min_size=1, max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        return configs(hint, largest)
    simple = {bool: st.booleans(), str: st.text(max_size=8), type(None): st.none()}
    if hint in simple:
        return simple[hint]
    if hint in (int, float):
        return _numbers(hint, Range(-largest, largest), largest)
    raise ValueError(f"no strategy for the type {hint}; pass a fixed value for the field")


def _numbers(kind: type, allowed: Range, largest: int) -> st.SearchStrategy:
    """Integers or floats in a range."""
    low, high = max(allowed.low, -largest), min(allowed.high, largest)
    if kind is int:
        return st.integers(math.ceil(low), math.floor(high)).filter(lambda x: x in allowed)
    return st.floats(low, high, width=32).filter(lambda x: x in allowed)
