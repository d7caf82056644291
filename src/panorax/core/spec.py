"""Parameters declared once: a tree of `P(shape, axes, init)` from which everything else is derived.

Initial values, abstract shapes, the parameter count, the weight-decay mask and the shardings all come from
the same tree, so they cannot disagree. Each parameter's random key depends on its path alone: adding a
parameter leaves the initial values of the others unchanged.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]  # (key, shape, dtype) -> array, as in jax.nn.initializers


@dataclass(frozen=True)
class P:
    """One parameter: its shape, the logical name of each axis (`None` for an axis that is never split), its initialiser."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    init: Initializer

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            raise ValueError(f"a parameter of shape {self.shape} needs {len(self.shape)} axis names, got {self.axes}")


def map_spec(f: Callable[[P], Any], spec) -> Any:
    """Apply `f` to every parameter declaration of a spec tree."""
    return jax.tree.map(f, spec, is_leaf=lambda x: isinstance(x, P))


def init(spec, key: jax.Array, dtype=jnp.float32):
    """Draw every parameter of `spec`; the key of each is `fold_in(key, crc32(path))`."""

    def draw(path, p):
        return p.init(jax.random.fold_in(key, zlib.crc32(jax.tree_util.keystr(path).encode())), p.shape, dtype)

    return jax.tree_util.tree_map_with_path(draw, spec, is_leaf=lambda x: isinstance(x, P))


def abstract(spec, dtype=jnp.float32):
    """The tree of `jax.ShapeDtypeStruct` that `init` would fill, without allocating anything."""
    return map_spec(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), spec)


def count(spec) -> int:
    """Number of scalar parameters."""
    return sum(math.prod(p.shape) for p in jax.tree.leaves(spec, is_leaf=lambda x: isinstance(x, P)))


def axes(spec):
    """The logical axes of every parameter (`None` for a scalar), to be turned into shardings by `panorax.parallel.sharding`."""
    return map_spec(lambda p: p.axes or None, spec)


def stack(spec, n: int):
    """The spec of `n` identical layers held in one array per parameter, with a leading `layers` axis to scan over."""

    def add(p: P) -> P:
        def init_layers(key, shape, dtype):
            return jax.vmap(lambda k: p.init(k, shape[1:], dtype))(jax.random.split(key, shape[0]))

        return P((n, *p.shape), ("layers", *p.axes), init_layers)

    return map_spec(add, spec)


def matrices(spec):
    """True for parameters with two or more axes besides `layers`: those that weight decay and Muon apply to."""
    return map_spec(lambda p: sum(a != "layers" for a in p.axes) >= 2, spec)
