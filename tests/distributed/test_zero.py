import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.distributed.zero import (
    STAGES,
    Config,
    adam,
    formula,
    pack,
    parts,
    programs,
    shapes,
    study,
    train,
    trees,
    unpack,
)
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.parallel.measures import devices_in_a_row, executions

MODEL = llama.Model(
    vocab=30, d_model=16, n_layers=3, n_heads=2, n_kv_heads=1, d_ff=23
)  # rows of 496 and 1,904: 3 divides neither
CFG = Config(model=MODEL, devices=8, batch=8, context=6, steps=3, learning_rate=1e-2)
KEY = jax.random.key(0)
PARAMS = core_spec.init(llama.spec(MODEL), KEY)
TOKENS = jax.random.randint(KEY, (8, 7), 0, 30)
PSI = core_spec.count(llama.spec(MODEL))


@functools.cache
def trained(stage, n, dtype="float32"):
    cfg = dataclasses.replace(
        CFG, devices=n, batch=8 - 8 % n, model=dataclasses.replace(MODEL, dtype=dtype)
    )
    return train(stage, devices_in_a_row(n, "data"), PARAMS, TOKENS[: cfg.batch], cfg)


@functools.cache
def by_hand(rows):
    """Losses, first gradient and parameters of language_model.loss_fn and optax.adam on one device, in float32."""
    loss = lambda params: language_model.loss_fn(
        params, (), TOKENS[:rows], KEY, decoder.net(MODEL)
    )[0]
    gradient, tx = (
        jax.jit(jax.value_and_grad(loss)),
        optax.adam(CFG.learning_rate, CFG.b1, CFG.b2, CFG.eps),
    )
    params, opt, losses, first = PARAMS, tx.init(PARAMS), [], None
    for _ in range(CFG.steps):
        value, grads = gradient(params)
        updates, opt = tx.update(grads, opt, params)
        params, first = optax.apply_updates(params, updates), first or grads
        losses.append(float(value))
    return np.array(losses), parts(first), parts(params)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_llama_and_adam_on_one_device(stage, n):
    run, (losses, grads, params) = trained(stage, n), by_hand(8 - 8 % n)
    np.testing.assert_allclose(run.losses, losses, rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), run.grads, grads
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), run.params, params
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stages_differ_only_in_where_things_are(stage, n, dtype):
    run, plain = trained(stage, n, dtype), trained(0, n, dtype)
    np.testing.assert_array_equal(run.losses, plain.losses)
    jax.tree.map(np.testing.assert_array_equal, run.params, plain.params)


@pytest.mark.parametrize("dtype, itemsize", [("float32", 4), ("bfloat16", 2)])
@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("stage", STAGES)
def test_bytes_are_the_papers_and_less_than_n_zeros_a_row(stage, n, dtype, itemsize):
    filled = sum(-(-size // n) * n * rows for size, rows in ((496, 1), (1904, 3)))
    assert (
        PSI == 496 + 3 * 1904
        and PSI <= filled < PSI + n * (MODEL.n_layers + 1)
        and (filled == PSI) == (n == 8)
    )
    assert trained(stage, n, dtype).bytes == round(formula(stage, n, itemsize) * filled)


def test_the_papers_formulas():
    assert [formula(stage, 64, 2) for stage in STAGES] == [16, 4 + 12 / 64, 2 + 14 / 64, 16 / 64]
    assert [round(7.5 * formula(stage, 64, 2), 1) for stage in STAGES] == [
        120.0,
        31.4,
        16.6,
        1.9,
    ]  # GB, figure 1


@pytest.mark.parametrize(
    "stage, exchanged", [(0, (1, 0, 0)), (1, (1, 0, 2)), (2, (1, 2, 2)), (3, (1, 4, 7))]
)
def test_each_stage_exchanges_what_it_says(stage, exchanged):
    found = trained(stage, 8).found
    assert (
        tuple(executions(found, kind) for kind in ("all-reduce", "reduce-scatter", "all-gather"))
        == exchanged
    )
    assert {c.kind for c in found} <= {"all-reduce", "reduce-scatter", "all-gather"}


def test_one_device_exchanges_nothing_that_counts():
    assert trained(3, 1).bytes == 20 * PSI  # float32: 4 + 4 + 12


@pytest.mark.parametrize("stage, there", [(0, True), (2, True), (3, False)])
def test_stage_3_never_has_all_layers_at_once(stage, there):
    find, *_ = programs(stage, devices_in_a_row(8, "data"), CFG)
    packed = pack(PARAMS, 8, "float32")
    assert (
        f"f32[{MODEL.n_layers},1904]" in find.lower(packed, TOKENS).compile().as_text()
    ) == there


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_packing_is_undone_by_unpacking(n, seed):
    rng = np.random.default_rng(seed)
    like = {
        "a": jax.ShapeDtypeStruct((3, 5), np.float32),
        "b": jax.ShapeDtypeStruct((), np.float32),
        "c": jax.ShapeDtypeStruct((7,), np.float32),
    }
    row = rng.normal(size=23 + -23 % n).astype(np.float32)
    found = unpack(row, like)
    assert jax.tree.map(lambda x: x.shape, found) == jax.tree.map(lambda x: x.shape, like)
    np.testing.assert_array_equal(
        np.concatenate([np.ravel(found[name]) for name in "abc"]), row[:23]
    )


@pytest.mark.parametrize("n", [1, 3, 8])
def test_rows_are_filled_to_a_multiple_of_the_devices(n):
    packed = pack(PARAMS, n, jnp.float32)
    assert (
        all(x.shape[-1] % n == 0 for x in packed.values())
        and packed["layers"].shape[0] == MODEL.n_layers
    )
    assert not np.any(packed["outer"][496:]) and not np.any(packed["layers"][:, 1904:])
    jax.tree.map(np.testing.assert_array_equal, trees(packed, MODEL), parts(PARAMS))
    assert shapes(MODEL)["layers"]["gate"].shape == (16, 23)


def test_adam_is_optax_adam():
    tx, rng = optax.adam(CFG.learning_rate, CFG.b1, CFG.b2, CFG.eps), np.random.default_rng(0)
    x = rng.normal(size=5).astype(np.float32)
    opt, state, y = (
        {"master": x, "first": np.zeros_like(x), "second": np.zeros_like(x)},
        tx.init(x),
        x,
    )
    for t in range(1, 5):
        g = rng.normal(size=5).astype(np.float32)
        opt = adam(opt, g, np.float32(t), CFG)
        updates, state = tx.update(g, state, y)
        y = optax.apply_updates(y, updates)
    np.testing.assert_allclose(opt["master"], y, rtol=1e-6)


def test_the_study_measures_what_it_claims():
    cfg = dataclasses.replace(
        CFG,
        devices=2,
        batch=2,
        steps=2,
        model=dataclasses.replace(MODEL, dtype="bfloat16", vocab=31, d_ff=25),
    )
    metrics = study(cfg, KEY).metrics
    assert all(0 <= metrics[f"excess_stage{stage}"] < metrics["padding_bound"] for stage in STAGES)
    assert [round(metrics[f"sent_per_parameter_stage{stage}"], 2) for stage in (0, 1, 2)] == [
        2,
        3,
        2,
    ]
    assert (
        2.5 < metrics["sent_per_parameter_stage3"] < 3
        and metrics["largest_gradient_distance"] < 0.02
    )


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="batch 9 must be a multiple of devices 8"):
        Config(batch=9)
    with pytest.raises(UserError, match="needs 16 devices, there are 8"):
        study(dataclasses.replace(CFG, devices=16, batch=16), KEY)
