"""Parameters declared once: a tree of `P(shape, axes, init)` from which everything else is derived.

Initial values, abstract shapes, the parameter count, the weight-decay mask and the shardings all come from
the same tree, so they cannot disagree. The random key of a parameter depends on its path alone: adding a
parameter leaves the initial values of the others unchanged.
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
    """One parameter.

    shape: its dimensions.  axes: the logical name of each axis, `None` for an axis that is never split.
    init: its initialiser.  decay: True if weight decay applies; by default to arrays with two or more axes.
    outputs: the number of trailing axes that index outputs of the linear map; the other axes index inputs.
    """

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    init: Initializer
    decay: bool | None = None
    outputs: int = 1

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            names = len(self.axes)
            raise ValueError(
                f"a parameter of shape {self.shape} has {names} axis names: {self.axes}"
            )
        if self.decay is None:
            object.__setattr__(self, "decay", len(self.shape) >= 2)


def is_parameter(x) -> bool:
    """True for a declaration, which is one leaf of a spec tree."""
    return isinstance(x, P)


def map_spec(f: Callable[[P], Any], spec) -> Any:
    """Apply `f` to every parameter declaration of a spec tree."""
    return jax.tree.map(f, spec, is_leaf=is_parameter)


def init(spec, key: jax.Array, dtype=jnp.float32):
    """Draw every parameter of `spec`; the key of each is `fold_in(key, crc32(path))`."""

    def draw(path, p):
        name = jax.tree_util.keystr(path).encode()
        return p.init(jax.random.fold_in(key, zlib.crc32(name)), p.shape, dtype)

    return jax.tree_util.tree_map_with_path(draw, spec, is_leaf=is_parameter)


def abstract(spec, dtype=jnp.float32):
    """The tree of `jax.ShapeDtypeStruct` that `init` would fill, without allocating anything."""
    return map_spec(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), spec)


def count(spec) -> int:
    """Number of scalar parameters."""
    return sum(math.prod(p.shape) for p in jax.tree.leaves(spec, is_leaf=is_parameter))


def axes(spec):
    """Logical axes of every parameter (`None` for a scalar), which `parallel.sharding` turns into shardings."""
    return map_spec(lambda p: p.axes or None, spec)


def stack(spec, n: int):
    """The spec of `n` identical layers held in one array per parameter, with a leading `layers` axis to scan over."""

    def add(p: P) -> P:
        def init_layers(key, shape, dtype):
            return jax.vmap(lambda k: p.init(k, shape[1:], dtype))(jax.random.split(key, shape[0]))

        return replace(p, shape=(n, *p.shape), axes=("layers", *p.axes), init=init_layers)

    return map_spec(add, spec)


def decays(spec):
    """True for every parameter that weight decay applies to."""
    return map_spec(lambda p: p.decay, spec)
