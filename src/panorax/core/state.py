"""The three values that every part of Panorax passes around: State, System, Result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax

from panorax.core import struct


@struct.dataclass
class State:
    """Everything a training step changes, and all that a checkpoint holds.

    params: the pytree that `loss_fn` is differentiated in.  opt: the optax state.
    extra: whatever else the system carries (EMA weights, target network, environments, statistics), `()` if nothing.
    step: int32 scalar, the number of training steps taken.
    """

    params: Any
    opt: Any
    extra: Any
    step: jax.Array


@dataclass(frozen=True)
class Result:
    """What a run ends with: scalars by name, and figures by file name (a str for text, a matplotlib Figure for a picture)."""

    metrics: dict[str, float]
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """A trainable system as closures over its config and data; what the loop, the tests, a notebook and a script use.

    init_state(key) -> State; train_step(state, batch, key) -> (state, metrics); evaluate(state, batch, key) -> metrics
    are pure and untransformed: `jit`, `vmap` over seeds and sharding are applied by the caller.
    batches(step) -> batch is a pure function of the step (numpy arrays; `()` for a system that makes its own data), of the shapes of `batch`.
    held_out() is the batch given to `evaluate`, whose metrics are named `eval_...`.
    report(state, key) -> Result runs once, on the host, at the end of a run.
    spec declares `State.params`; extra_axes is a tree prefix of `State.extra` whose leaves are logical axes (None: replicated).
    pretrained(shardings) -> params, where it is given, are what a run starts from instead of the params of init_state.
    files() are texts the run directory keeps beside the config, such as a tokenizer.
    `system(cfg)` itself touches no data: the first call of batches, held_out or files does.
    """

    spec: Any
    init_state: Callable[[jax.Array], State]
    train_step: Callable[[State, Any, jax.Array], tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[State, Any, jax.Array], dict[str, jax.Array]]
    batch: Any = ()
    batches: Callable[[int], Any] = lambda step: ()
    held_out: Callable[[], Any] = tuple
    report: Callable[[State, jax.Array], Result] = lambda state, key: Result({})
    extra_axes: Any = None
    pretrained: Callable[[Any], Any] | None = None
    files: Callable[[], dict[str, str]] = dict
