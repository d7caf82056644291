import dataclasses
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core import spec as core_spec
from panorax.core.optim import (
    SGD,
    AdamW,
    Lion,
    Muon,
    Optimizer,
    learning_rate,
    matrix_axes,
    optimizer,
)
from panorax.core.ranges import ConfigError
from panorax.core.spec import P
from panorax.core.step import update
from panorax.testing.tolerances import LAYER, NUMBER


@pytest.mark.parametrize(
    "schedule, middle, end", [("constant", 1.0, 1.0), ("linear", 0.6, 0.2), ("cosine", 0.6, 0.2)]
)
def test_warm_up_then_decay(schedule, middle, end):
    rate = learning_rate(AdamW(peak_lr=1.0, final_lr=0.2, schedule=schedule, warmup=10), 110)
    np.testing.assert_allclose(
        [rate(t) for t in (0, 5, 10, 60, 110, 500)], [0, 0.5, 1, middle, end, end], **NUMBER
    )


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert float(learning_rate(AdamW(peak_lr=0.3), 10)(0)) == pytest.approx(0.3)


SPEC = {
    "w": P((4, 6), ("inputs", "outputs"), jax.nn.initializers.normal(0.5)),
    "scale": P((6,), ("outputs",), jax.nn.initializers.ones),
    "table": P((5, 4), ("vocab", "embed"), jax.nn.initializers.normal(0.5)),
}
PARAMS = core_spec.init(SPEC, jax.random.key(0))
TARGET = core_spec.init(SPEC, jax.random.key(1))
CHOICES = typing.get_args(Optimizer)


def loss_fn(params, extra, batch, key):
    errors = jax.tree.map(lambda a, b: jnp.sum(jnp.square(a - b)), params, TARGET)
    return sum(jax.tree.leaves(errors)), (extra, {})


@pytest.mark.parametrize("kind", CHOICES, ids=lambda kind: kind.__name__)
def test_every_optimiser_descends_and_decays_the_parameters_of_the_spec(kind):
    cfg = kind(schedule="constant", clip=1e6, peak_lr=0.05)
    tx = optimizer(cfg, 50, SPEC)

    def step(carry, key):
        params, opt, _, metrics = update(loss_fn, tx, *carry, (), (), key)
        return (params, opt), metrics["loss"]

    keys = jax.random.split(jax.random.key(1), 50)
    _, losses = jax.jit(lambda carry: jax.lax.scan(step, carry, keys))((PARAMS, tx.init(PARAMS)))
    assert losses[-1] < 0.5 * losses[0]

    decaying = optimizer(dataclasses.replace(cfg, weight_decay=0.5), 50, SPEC)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    extra = {"obj_fn": lambda params: jnp.float32(0)}
    updates, _ = optax.with_extra_args_support(decaying).update(
        zeros, decaying.init(PARAMS), PARAMS, **extra
    )
    share = -updates["w"] / PARAMS["w"]
    np.testing.assert_allclose(share, np.full((4, 6), share[0, 0]), **NUMBER)
    assert share[0, 0] >= 0.0249
    np.testing.assert_array_equal(updates["scale"], jnp.zeros(6))


def test_muon_orthogonalises_stacked_matrices_and_not_tables():
    q = P(
        (3, 4, 2, 5), ("layers", "embed", "heads", "head_dim"), jax.nn.initializers.ones, outputs=2
    )
    assert matrix_axes(q) == ((1,), (2, 3))
    o = P((3, 2, 5, 4), ("layers", "heads", "head_dim", "embed"), jax.nn.initializers.ones)
    assert matrix_axes(o) == ((1, 2), (3,))
    assert matrix_axes(SPEC["table"]) is None and matrix_axes(SPEC["scale"]) is None
    tx = optimizer(Muon(schedule="constant", peak_lr=1.0, clip=1e6), 10, SPEC)
    updates, _ = tx.update(
        jax.grad(lambda p: loss_fn(p, (), (), None)[0])(PARAMS), tx.init(PARAMS), PARAMS
    )
    singular = jnp.linalg.svd(updates["w"], compute_uv=False)
    assert 0.6 < float(singular.min()) and float(singular.max()) < 2.0


def test_a_large_gradient_is_clipped():
    params, spec = {"w": jnp.zeros(4)}, {"w": P((4,), ("outputs",), jax.nn.initializers.zeros)}
    tx = optimizer(AdamW(clip=1.0, schedule="constant"), 10, spec)
    big, bigger = (tx.update({"w": jnp.full(4, x)}, tx.init(params), params)[1] for x in (1e3, 1e6))
    np.testing.assert_allclose(*(s[1][0].mu["w"] for s in (big, bigger)), **NUMBER)


def updates_of(cfg, gradients):
    """The updates of PARAMS for a sequence of gradients, one per step of ten."""
    tx = optimizer(cfg, 10, SPEC)
    state = tx.init(PARAMS)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, PARAMS)
        yield updates


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_has_momentum_of_its_kind(nesterov):
    cfg = SGD(peak_lr=0.1, momentum=0.5, nesterov=nesterov, schedule="constant", clip=1e6)
    one = jax.tree.map(jnp.ones_like, PARAMS)
    moved = [float(u["scale"][0]) for u in updates_of(cfg, [one, one, one])]
    momentum = np.array([1.0, 1.5, 1.75])  # m <- m / 2 + g
    expected = 1 + 0.5 * momentum if nesterov else momentum
    np.testing.assert_allclose(moved, -0.1 * expected, **NUMBER)


def test_the_adam_part_of_muon_follows_the_schedule_at_its_own_rate():
    """With a constant gradient, an update of Adam is the learning rate in size."""
    cfg = Muon(peak_lr=0.2, adam_lr=0.01, b1=0.0, schedule="linear", final_lr=0.0, clip=1e6)
    one = jax.tree.map(jnp.ones_like, PARAMS)
    moved = [float(u["scale"][0]) for u in updates_of(cfg, [one] * 6)]
    np.testing.assert_allclose(moved, [-0.01 * (1 - t / 10) for t in range(6)], **LAYER)


def test_a_warm_up_longer_than_the_run_and_decay_rates_of_1_are_refused():
    spec = {"w": P((2,), ("x",), jax.nn.initializers.zeros)}
    optimizer(AdamW(warmup=4), 4, spec)
    with pytest.raises(ConfigError, match="warmup must be at most 3, .*, got 4"):
        optimizer(AdamW(warmup=4), 3, spec)
    for kind, name in ((AdamW, "b1"), (AdamW, "b2"), (SGD, "momentum"), (Lion, "b2")):
        with pytest.raises(ConfigError, match=f"{name} must be at least 0 and below 1, got 1.0"):
            kind(**{name: 1.0})
