"""A Flax module, Linen or NNX, as the pure functions that every training step here is made of.

    net = linen(MyModule(), jnp.zeros((1, 28, 28, 1)))          # or nnx(lambda rngs: MyModule(rngs=rngs))
    params, extra = net.init(key)
    y, extra = net.apply(params, extra, x)

`params` are what is differentiated; `extra` is what else the module carries (batch statistics, other collections; for NNX its random streams).
A module without any has `extra == {}`. `net.spec` declares the parameters as `panorax.core.spec` does, so that counts, weight-decay masks,
shardings and `init` by key come from it: a module of net functions can be one line each around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core.spec import P


@dataclass(frozen=True)
class Net:
    """spec: a tree of P; init(key) -> (params, extra); apply(params, extra, *inputs, **options) -> (outputs, extra)."""

    spec: Any
    init: Callable
    apply: Callable


def linen(module, *example, **options) -> Net:
    """A Linen module, shown inputs of the right shapes and the options it is initialised with, such as `train=False`.

    Random streams are given to apply as `rngs={"dropout": key}`. Every collection but `params` is mutable.
    """

    def init(key):
        variables = dict(module.init(key, *example, **options))
        return variables.pop("params", {}), variables

    def apply(params, extra, *inputs, rngs=None, **options):
        outputs, changed = module.apply({"params": params, **extra}, *inputs, rngs=rngs, mutable=list(extra), **options)
        return outputs, {**extra, **changed}

    return Net(declared(init), init, apply)


def nnx(make: Callable) -> Net:
    """The NNX module that `make(rngs)` makes; it is split into values here, and never kept."""
    from flax import nnx

    graph, *abstract = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)

    def init(key):
        _, params, extra = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(extra)

    def apply(params, extra, *inputs, **options):
        states = jax.tree.map(lambda x: x, abstract)
        for state, values in zip(states, (params, extra), strict=True):
            nnx.replace_by_pure_dict(state, values)
        module = nnx.merge(graph, *states)
        outputs = module(*inputs, **options)
        return outputs, nnx.to_pure_dict(nnx.split(module, nnx.Param, ...)[2])

    return Net(declared(init), init, apply)


def declared(init: Callable):
    """The parameters of `init(key) -> (params, extra)` as a tree of P, none of its axes named; each is drawn as `init` draws it."""

    def declare(path, x):
        def draw(key, shape, dtype):
            params, _ = init(key)
            for step in path:
                params = params[step.key]
            return params.astype(dtype)

        return P(x.shape, (None,) * x.ndim, draw)

    params, _ = jax.eval_shape(init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(declare, params)
