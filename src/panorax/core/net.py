"""A network as a value: what declares its parameters, what draws them, and what applies them.

Every training step sees a network through these three functions, whether it is a module of `panorax.nets`
or a Flax module (`panorax.interop.flax`). A config names its network by type; `net(cfg, ...)` of the module
that defines the type returns the value, once, when the system is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from panorax.core import spec as core_spec


@dataclass(frozen=True)
class Net:
    """A network that may carry state (batch statistics, codebook averages) and use randomness (dropout).

    spec: a tree of P for the parameters that are differentiated.
    init(key) -> (params, extra); `extra` is the state, `()` if the network has none.
    apply(params, extra, *inputs, key=None, train=False) -> (outputs, extra). With `train` the network updates
    its state and draws from `key`; without it the network is a pure function of its inputs.
    """

    spec: Any
    init: Callable
    apply: Callable


def stateless(spec, apply: Callable) -> Net:
    """The Net of `apply(params, *inputs)`, which carries nothing and draws nothing."""

    def init(key: jax.Array):
        return core_spec.init(spec, key), ()

    def apply_net(params, extra, *inputs, key=None, train=False):
        return apply(params, *inputs), extra

    return Net(spec, init, apply_net)


def stateful(spec, state, apply: Callable) -> Net:
    """The Net of `apply(params, extra, *inputs, key, train)`; `state` declares `extra` as `spec` declares `params`."""

    def init(key: jax.Array):
        key_params, key_state = jax.random.split(key)
        return core_spec.init(spec, key_params), core_spec.init(state, key_state)

    def apply_net(params, extra, *inputs, key=None, train=False):
        return apply(params, extra, *inputs, key=key, train=train)

    return Net(spec, init, apply_net)
