"""Parameter specs: a tree of `P(shape, axes, init)` declares every parameter once.

Initial values, abstract shapes, the parameter count, the weight-decay mask and the shardings derive
from this tree. The random key of a parameter depends on its path alone, so adding a parameter
leaves the initial values of the others unchanged.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array, as in jax.nn.initializers


@dataclass(frozen=True)
class P:
    """The declaration of one parameter. Raises ValueError if shape and axes differ in length."""

    shape: tuple[int, ...]
    """size of each axis"""
    axes: tuple[str | None, ...]
    """logical name of each axis, None for an axis that is never split"""
    init: Initializer
    """initialiser (key, shape, dtype) -> array"""
    decay: bool | None = None
    """True if weight decay applies; None applies it to arrays with two or more axes"""
    outputs: int = 1
    """number of trailing axes that index outputs of a linear map; the others index inputs"""

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            names = len(self.axes)
            raise ValueError(
                f"a parameter of shape {self.shape} has {names} axis names: {self.axes}"
            )
        if self.decay is None:
            object.__setattr__(self, "decay", len(self.shape) >= 2)


def is_parameter(x) -> bool:
    """True for a P, the leaf type of a spec."""
    return isinstance(x, P)


def map_spec(f: Callable[[P], Any], spec) -> Any:
    """Applies `f` to every P of a spec."""
    return jax.tree.map(f, spec, is_leaf=is_parameter)


def init(spec, key: jax.Array, dtype=jnp.float32):
    """Draws every parameter of `spec` with the key `fold_in(key, crc32(path))`."""

    def draw(path, p):
        name = jax.tree_util.keystr(path).encode()
        return p.init(jax.random.fold_in(key, zlib.crc32(name)), p.shape, dtype)

    return jax.tree_util.tree_map_with_path(draw, spec, is_leaf=is_parameter)


def abstract(spec, dtype=jnp.float32):
    """The shapes and dtypes of the parameters, as a tree of `jax.ShapeDtypeStruct`."""
    return map_spec(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), spec)


def count(spec) -> int:
    """Number of scalar parameters."""
    return sum(math.prod(p.shape) for p in jax.tree.leaves(spec, is_leaf=is_parameter))


def axes(spec):
    """Logical axes of every parameter, None for a scalar."""
    return map_spec(lambda p: p.axes or None, spec)


def stack(spec, n: int):
    """The spec of `n` identical layers: every parameter gets a leading axis `layers` of size n."""

    def add(p: P) -> P:
        def init_layers(key, shape, dtype):
            return jax.vmap(lambda k: p.init(k, shape[1:], dtype))(jax.random.split(key, shape[0]))

        return replace(p, shape=(n, *p.shape), axes=("layers", *p.axes), init=init_layers)

    return map_spec(add, spec)


def decays(spec):
    """The weight-decay mask: a tree with True for every parameter that decays."""
    return map_spec(lambda p: p.decay, spec)
