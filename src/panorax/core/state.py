"""State, System and Result, the values that systems and the engine exchange."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax

from panorax.core import struct


@struct.dataclass
class State:
    """Everything that a training step changes and a checkpoint holds."""

    params: Any
    """pytree of trained parameters"""
    opt: Any
    """state of the optax transformation"""
    extra: Any
    """state of the network, EMA weights, environments, typed by the system; `()` if none"""
    step: jax.Array
    """number of training steps taken, an int32 scalar"""


def first_state(params, tx: optax.GradientTransformation, extra=()) -> State:
    """The State at step 0: `params`, `tx.init(params)` and `extra`."""
    return State(params, tx.init(params), extra, jnp.int32(0))


@dataclass(frozen=True)
class Result:
    """Metrics and figures of a run or of a part of a study."""

    metrics: dict[str, float]
    """scalars by name"""
    figures: dict[str, Any] = field(default_factory=dict)
    """figures by file name: a str is written as text, a matplotlib Figure as a picture"""


@dataclass(frozen=True)
class Episode:
    """An episode of an agent, to be looked at."""

    lines: list[str]
    """text, a line for each step and one for the end"""
    frames: list[Any] | None
    """RGB images (Y, X, 3), uint8, the first before the first step; None if it cannot be drawn"""


def nothing_held_out() -> tuple:
    """One empty held-out batch, for a system that makes its own data."""
    return ((),)


@dataclass(frozen=True)
class System:
    """A trainable system as closures over its config and data.

    The loop, tests, notebooks and scripts use it. `init_state`, `train_step` and `evaluate` are
    pure and untransformed: the caller applies `jit`, `vmap` over seeds and sharding. `system(cfg)`
    reads no data; the first call of `batches`, `held_out` or `files` does.
    """

    spec: Any
    """tree of P that declares `State.params`"""
    init_state: Callable[[jax.Array], State]
    """init_state(key) -> State"""
    train_step: Callable[[State, Any, jax.Array], tuple[State, dict[str, jax.Array]]]
    """train_step(state, batch, key) -> (state, metrics)"""
    evaluate: Callable[[State, Any, jax.Array], dict[str, tuple[jax.Array, jax.Array]]]
    """evaluate(state, batch, key) -> {"eval_...": (total, weight)} of one held-out batch; a metric
    is the sum of totals over the sum of weights, and rows that pad a batch have weight 0"""
    batch: Any = ()
    """tree of ShapeDtypeStruct of a batch, `()` for a system that makes its own data"""
    batches: Callable[[int], Any] = lambda step: ()
    """batches(step) -> numpy arrays of the shapes of `batch`, a pure function of the step"""
    held_out: Callable[[], Iterable] = nothing_held_out
    """held_out() -> held-out batches, all of one shape"""
    report: Callable[[State, jax.Array], Result] = lambda state, key: Result({})
    """report(state, key) -> Result, called once on the host at the end of a run"""
    extra_axes: Any = None
    """logical axes of `State.extra`, a tree prefix of it; None means replicated"""
    pretrained: Callable[[State], dict[str, Any]] | None = None
    """pretrained(shardings) -> fields of the first State that are loaded, not drawn; `shardings`
    is a State of shardings"""
    summary: Callable[[], str] = str
    """summary() -> one line that describes the data, printed before training; "" for none"""
    files: Callable[[], dict[str, str]] = dict
    """files() -> texts by file name that the run directory keeps, such as a tokenizer"""
    micro_batches: int = 1
    """parts of a batch that a step processes one after another"""
    per_step: dict[str, int] = field(default_factory=dict)
    """amounts that one step consumes, such as {"tokens": 2048}; a plan prints them per second"""
    on_host: bool = False
    """true if a step leaves the compiled program, which then runs on one device"""
    play: Callable[[State, jax.Array], list[Episode]] | None = None
    """play(state, key) -> episodes of an agent, called on the host; None if it acts nowhere"""
    footprint: Callable[[], dict[str, float]] = dict
    """footprint() -> bytes by name that inference needs, such as a row of a cache"""
