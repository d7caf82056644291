"""A network as a value: its spec, `init` and `apply`.

Training steps use modules of `panorax.nets` and Flax modules (`panorax.interop.flax`) through this
type. A config chooses its network by the type of a nested config. The module that defines this type
has a function `net(cfg, ...)`, which `system` calls once to make the Net.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core import spec as core_spec


@dataclass(frozen=True)
class Net:
    """A network that may have state (batch statistics, codebooks) and use randomness (dropout)."""

    spec: Any
    """tree of P that declares the trained parameters"""
    init: Callable
    """init(key) -> (params, extra); `extra` is the state, `()` if the network has none"""
    apply: Callable
    """apply(params, extra, *inputs, key=None, train=False) -> (outputs, extra); with `train` the
    network updates its state and draws from `key`, otherwise `extra` is unchanged"""


def stateless(spec, apply: Callable) -> Net:
    """The Net of `apply(params, *inputs)`, which has no state and uses no randomness."""

    def init(key: jax.Array):
        return core_spec.init(spec, key), ()

    def apply_net(params, extra, *inputs, key=None, train=False):
        return apply(params, *inputs), extra

    return Net(spec, init, apply_net)


def stateful(spec, state, apply: Callable) -> Net:
    """The Net of `apply(params, extra, *inputs, key, train) -> (outputs, extra)`.

    spec, state: trees of P that declare `params` and `extra`.
    """

    def init(key: jax.Array):
        key_params, key_state = jax.random.split(key)
        return core_spec.init(spec, key_params), core_spec.init(state, key_state)

    def apply_net(params, extra, *inputs, key=None, train=False):
        return apply(params, extra, *inputs, key=key, train=train)

    return Net(spec, init, apply_net)
