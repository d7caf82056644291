"""The values that every part of Panorax passes around: State, System, Result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax

from panorax.core import struct


@struct.dataclass
class State:
    """Everything a training step changes, and all that a checkpoint holds.

    params: the pytree that `loss_fn` is differentiated in.  opt: the optax state.
    extra: whatever else the system carries (state of its network, EMA weights, environments), `()` if nothing.
    step: int32 scalar, the number of training steps taken.
    """

    params: Any
    opt: Any
    extra: Any
    step: jax.Array


def first_state(params, tx: optax.GradientTransformation, extra=()) -> State:
    """The state before the first step: `params`, the fresh state of `tx`, and `extra`."""
    return State(params, tx.init(params), extra, jnp.int32(0))


@dataclass(frozen=True)
class Result:
    """Scalars by name, and figures by file name (a str for text, a matplotlib Figure for a picture)."""

    metrics: dict[str, float]
    figures: dict[str, Any] = field(default_factory=dict)


def nothing_held_out() -> tuple:
    """One empty batch: the evaluation of a system that makes its own data."""
    return ((),)


@dataclass(frozen=True)
class System:
    """A trainable system as closures over its config and data: used by the loop, tests, notebooks and scripts.

    init_state(key) -> State; train_step(state, batch, key) -> (state, metrics). Pure and untransformed: the
    caller applies `jit`, `vmap` over seeds and sharding.
    evaluate(state, batch, key) -> {"eval_...": (total, weight)}: summed over the batches of `held_out()`, which
    yields batches of one shape; a metric is its total over its weight. Rows that pad a batch weigh 0.
    batches(step) -> batch is a pure function of the step, numpy arrays of the shapes of `batch`; `()` for a
    system that makes its own data.
    report(state, key) -> Result runs once, on the host, at the end of a run.
    spec declares `State.params`; extra_axes is a tree prefix of `State.extra` of logical axes (None: replicated).
    pretrained(shardings) -> fields of the first State that are loaded instead of drawn; `shardings` is a State.
    files() -> texts that the run directory keeps beside the config, such as a tokenizer.
    per_step: amounts that one step consumes, such as {"tokens": 2048}; a plan prints them per second.
    footprint() -> bytes, by name, that using the model takes besides its training, such as a row of a cache.
    `system(cfg)` itself reads no data: the first call of batches, held_out or files does.
    """

    spec: Any
    init_state: Callable[[jax.Array], State]
    train_step: Callable[[State, Any, jax.Array], tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[State, Any, jax.Array], dict[str, tuple[jax.Array, jax.Array]]]
    batch: Any = ()
    batches: Callable[[int], Any] = lambda step: ()
    held_out: Callable[[], Iterable] = nothing_held_out
    report: Callable[[State, jax.Array], Result] = lambda state, key: Result({})
    extra_axes: Any = None
    pretrained: Callable[[State], dict[str, Any]] | None = None
    files: Callable[[], dict[str, str]] = dict
    per_step: dict[str, int] = field(default_factory=dict)
    footprint: Callable[[], dict[str, float]] = dict
