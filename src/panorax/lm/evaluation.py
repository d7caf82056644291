"""Bits per byte of held-out text under parameters that a report compares."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from panorax.core.net import Net
from panorax.core.state import State
from panorax.core.step import evaluated
from panorax.lm.language_model import evaluate


def bits_per_byte(net: Net) -> Callable:
    """A function (params, held_out) -> bits per byte, compiled once.

    params: parameters of `net`.  held_out: batches as of a language model's `held_out()`.
    """
    compiled, key = jax.jit(functools.partial(evaluate, net=net)), jax.random.key(0)

    def totals(state, batch, key):
        return jax.device_get(compiled(state, batch, key))  # one batch in flight

    def measure(params, held_out) -> float:
        state = State(params, (), (), jnp.int32(0))
        return float(evaluated(totals, state, held_out, key)["eval_bits_per_byte"])

    return measure
