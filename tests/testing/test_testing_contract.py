"""Each check of the contract fails for a system with the fault that it detects."""

import dataclasses
import functools
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import figures
from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.net import stateless
from panorax.core.optim import AdamW, optimizer
from panorax.core.spec import P
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.nets import mlp
from panorax.testing import contract

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Config:
    """A linear map fitted to points, correct or with one fault."""

    fault: str = ""
    run: Run = Run(steps=4, chunk=2)


COUNTER = iter(range(1 << 30))


def system(cfg: Config) -> System:
    net = stateless(mlp.dense_spec(4, 8, jax.nn.initializers.normal(1.0)), mlp.dense)
    if cfg.fault == "unnamed axis":
        net = dataclasses.replace(
            net, spec={**net.spec, "w": P((4, 8), (None, None), jax.nn.initializers.normal(1.0))}
        )
    tx = optimizer(AdamW(peak_lr=0.1, schedule="constant"), 4, net.spec)

    def loss_fn(params, extra, batch, key):
        y, _ = net.apply(params, (), batch)
        return jnp.mean(jnp.square(y - jnp.sum(batch, 1, keepdims=True))), (extra, {})

    def train_step(state, batch, key):
        params, opt, extra, metrics = update(
            loss_fn, tx, state.params, state.opt, state.extra, batch, key
        )
        if cfg.fault == "a step counted twice":
            return State(params, opt, extra, state.step + 2), metrics
        if cfg.fault == "a weak type at the start":
            return State(params, opt, extra * jnp.float32(0.5), state.step + 1), metrics
        if cfg.fault == "another dtype":
            return State(params, opt, extra, jnp.float32(state.step + 1)), metrics
        if cfg.fault == "nothing learned":
            return State(state.params, opt, extra, state.step + 1), metrics
        return State(params, opt, extra, state.step + 1), metrics

    def init_state(key):
        params, extra = net.init(jax.random.key(0) if cfg.fault == "seed ignored" else key)
        if cfg.fault == "a weak type at the start":
            extra = jnp.asarray(1.0)
        return first_state(params, tx, extra)

    def batches(step):
        if cfg.fault == "batches by a counter":
            step = next(COUNTER)
        return X[
            (8 * (0 if cfg.fault == "the same batch at every step" else step) + np.arange(8)) % 64
        ]

    def evaluate(state, batch, key):
        name = "loss" if cfg.fault == "evaluation without prefix" else "eval_loss"
        return {name: (loss_fn(state.params, (), batch, key)[0], 1.0)}

    held_out = (X[:8], X[:4]) if cfg.fault == "held-out batches of two shapes" else (X[:8], X[8:16])
    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=train_step,
        evaluate=evaluate,
        batch=jax.ShapeDtypeStruct((8, 4), jnp.float32),
        batches=batches,
        held_out=lambda: held_out,
    )


def module(fault):
    return types.SimpleNamespace(
        __name__="mine", get_config=lambda: Config(fault), smoke=lambda: Config(fault), CLAIMS=()
    )


@functools.cache
def checks(fault=""):
    return contract.of(module(fault))


@pytest.mark.parametrize("check", list(checks()))
def test_a_correct_system_keeps_the_contract(check):
    checks()[check]()


@pytest.mark.parametrize(
    "fault, check",
    [
        ("unnamed axis", "every_axis_of_every_parameter_has_a_name"),
        ("unnamed axis", "fsdp_splits_parameters_and_optimiser"),
        ("another dtype", "step_keeps_the_state_as_it_is"),
        ("a weak type at the start", "step_keeps_the_state_as_it_is"),
        ("a weak type at the start", "resumed_equals_uninterrupted"),
        ("a step counted twice", "same_seed_same_bits"),
        ("seed ignored", "same_seed_same_bits"),
        ("nothing learned", "one_batch_is_overfitted"),
        ("batches by a counter", "batches_are_a_function_of_the_step"),
        ("the same batch at every step", "batches_are_a_function_of_the_step"),
        ("evaluation without prefix", "evaluation_is_finite_and_named"),
        ("held-out batches of two shapes", "evaluation_is_finite_and_named"),
    ],
)
def test_a_fault_is_detected(fault, check):
    with pytest.raises(AssertionError):
        checks(fault)[check]()


def test_a_checkpoint_that_changes_the_last_bit_is_detected(monkeypatch):
    class Rounding(contract.Checkpoints):
        def restore(self, abstract):
            return jax.tree.map(
                lambda x: jnp.nextafter(x, x + 1) if x.ndim else x, super().restore(abstract)
            )

    monkeypatch.setattr(contract, "Checkpoints", Rounding)
    with pytest.raises(AssertionError):
        checks()["resumed_equals_uninterrupted"]()


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Two random numbers, measured correctly or with one fault."""

    fault: str = ""
    seed: int = 0


def two_numbers(cfg):
    def number(key):
        x = float(jax.random.uniform(key))
        return next(COUNTER) if cfg.fault == "parts that depend on their order" else x

    def second(key):
        figure, _ = figures.panels()
        return Result({"y10": number(key)}, {"y.png": figure})

    return {"first": lambda key: Result({"x": number(key)}), "second": second}


@pytest.fixture
def checks_of_a_study(monkeypatch):
    """The checks of the study, whose module has no `system`."""
    name = "study_of_the_tests"
    implementation = types.SimpleNamespace(
        study=two_numbers, StudyConfig=StudyConfig, __name__=name
    )
    monkeypatch.setitem(sys.modules, name, implementation)
    monkeypatch.setattr(StudyConfig, "__module__", name)

    def of(fault=""):
        claims = {"a claim without its metric": ("z",)}.get(fault, ("x", "y5"))  # digits may differ
        cfg = StudyConfig(fault)
        module = types.SimpleNamespace(
            __name__="mine",
            get_config=lambda: cfg,
            smoke=lambda: cfg,
            CLAIMS=tuple(Claim(metric, ">=", 0, "a claim of the tests") for metric in claims),
        )
        return contract.of(module)

    return of


def test_a_correct_study_keeps_the_contract(checks_of_a_study):
    checks = checks_of_a_study()
    assert len(checks) == 2
    for check in checks.values():
        check()


@pytest.mark.parametrize(
    "fault, check",
    [
        ("a claim without its metric", "smoke_run_measures_every_metric_of_its_claims"),
        ("parts that depend on their order", "parts_are_functions_of_their_keys"),
    ],
)
def test_a_fault_of_a_study_is_detected(checks_of_a_study, fault, check):
    with pytest.raises(AssertionError):
        checks_of_a_study(fault)[check]()
