import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panorax.configs.distributed import zero as config

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.study import measured
from panorax.distributed.zero import (
    STAGES,
    Config,
    adam,
    communication_metrics,
    formula,
    memory_metrics,
    pack,
    parts,
    programs,
    shapes,
    study,
    train,
    training_metrics,
    trees,
    unpack,
)
from panorax.engine.run import with_shardings
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.parallel.measures import devices_in_a_row, executions
from panorax.testing.tolerances import DEVICES, GRADIENT, NUMBER

SCALARS = 5e-3
"""share of scalars among the bytes that a device sends"""

# rows of 496 and 1,904 numbers: 3 divides neither
MODEL = llama.Model(vocab=30, d_model=16, n_layers=3, n_heads=2, n_kv_heads=1, d_ff=23)
CFG = Config(model=MODEL, devices=3, batch=24, context=6, steps=3, learning_rate=1e-2)
HALF = config.smoke()  # bfloat16, with rows of 2,080 and 9,376 numbers on 3 devices
KEY = jax.random.key(0)
PSI = core_spec.count(llama.spec(MODEL))


@functools.cache
def start(cfg):
    """Parameters, and the tokens of a batch."""
    params = jax.jit(functools.partial(core_spec.init, llama.spec(cfg.model)))(KEY)
    return params, jax.random.randint(KEY, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)


PARAMS, TOKENS = start(CFG)


@functools.cache
def trained(cfg, stage):
    return train(stage, devices_in_a_row(cfg.devices, "data"), *start(cfg), cfg)


def over(devices):
    """CFG on another number of devices."""
    return dataclasses.replace(CFG, devices=devices)


@functools.cache
def by_hand():
    """Losses, first gradient and last parameters of the language model and optax.adam, float32."""
    net, params = decoder.net(MODEL), PARAMS
    loss = lambda params: language_model.loss_fn(params, (), TOKENS, KEY, net)[0]
    tx = optax.adam(CFG.learning_rate, CFG.b1, CFG.b2, CFG.eps)

    @jax.jit
    def step(params, opt):
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt = tx.update(grads, opt, params)
        return value, grads, optax.apply_updates(params, updates), opt

    opt, losses, first = tx.init(params), [], None
    for _ in range(CFG.steps):
        value, grads, params, opt = step(params, opt)
        first = first or grads
        losses.append(float(value))
    return np.array(losses), parts(first), parts(params)


@pytest.mark.parametrize("stage, n", [*((stage, 3) for stage in STAGES), (3, 8), (3, 1)])
def test_each_stage_equals_llama_and_adam_on_one_device(stage, n):
    run, (losses, grads, params) = trained(over(n), stage), by_hand()
    np.testing.assert_allclose(run.losses, losses, **GRADIENT)
    chex.assert_trees_all_close(run.grads, grads, **GRADIENT)
    chex.assert_trees_all_close(run.params, params, **DEVICES)


@pytest.mark.parametrize("cfg, tolerance", [(CFG, 1e-6), (HALF, 0)])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stages_agree(stage, cfg, tolerance):
    """Bit for bit where the suite's cheap compilation fuses alike; the study claims it for all."""
    run, plain = trained(cfg, stage), trained(cfg, 0)
    pair = (run.losses, run.params), (plain.losses, plain.params)
    chex.assert_trees_all_close(*pair, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "cfg, stage, itemsize, rows",
    [
        *((CFG, stage, 4, ((496, 1), (1904, 3))) for stage in STAGES),
        *((HALF, stage, 2, ((2080, 1), (9376, 2))) for stage in STAGES),
        (over(8), 3, 4, ((496, 1), (1904, 3))),
    ],
)
def test_bytes_equal_the_formula_with_padded_rows(cfg, stage, itemsize, rows):
    n, count = cfg.devices, core_spec.count(llama.spec(cfg.model))
    padded = sum(-(-size // n) * n * times for size, times in rows)
    assert count == sum(size * times for size, times in rows)
    assert count <= padded < count + n * (cfg.model.n_layers + 1)
    assert (padded == count) == (n == 8)
    assert trained(cfg, stage).bytes == round(formula(stage, n, itemsize) * padded)


def test_formula_gives_the_numbers_of_the_paper():
    assert [formula(stage, 64, 2) for stage in STAGES] == [16, 4 + 12 / 64, 2 + 14 / 64, 16 / 64]
    gigabytes = [round(7.5 * formula(stage, 64, 2), 1) for stage in STAGES]
    assert gigabytes == [120.0, 31.4, 16.6, 1.9]  # figure 1


@pytest.mark.parametrize(
    "stage, exchanged", [(0, (1, 0, 0)), (1, (1, 0, 2)), (2, (1, 2, 2)), (3, (1, 4, 7))]
)
def test_each_stage_makes_the_collectives_of_the_paper(stage, exchanged):
    found, kinds = trained(CFG, stage).collectives, ("all-reduce", "reduce-scatter", "all-gather")
    assert tuple(executions(found, kind) for kind in kinds) == exchanged
    assert {c.kind for c in found} <= set(kinds)


def test_one_device_holds_everything():
    assert trained(over(1), 3).bytes == 20 * PSI  # float32: 4 + 4 + 12


@pytest.mark.parametrize("stage, whole", [(0, True), (2, True), (3, False)])
def test_stage_3_never_gathers_all_layers_at_once(stage, whole):
    step = programs(stage, mesh := devices_in_a_row(3, "data"), CFG)
    specs = step.params, jax.sharding.PartitionSpec("data")
    shardings = jax.tree.map(functools.partial(jax.sharding.NamedSharding, mesh), specs)
    packed = jax.eval_shape(lambda params: pack(params, 3, "float32"), PARAMS)
    arguments = with_shardings((packed, TOKENS), shardings)
    program = step.gradients.lower(*arguments).compile().as_text()
    assert (f"f32[{MODEL.n_layers},1905]" in program) == whole


@given(st.sampled_from([1, 3, 8]), st.integers(0, 2**31))
def test_unpack_inverts_packing(n, seed):
    rng = np.random.default_rng(seed)
    sizes = {"a": (3, 5), "b": (), "c": (7,)}
    like = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in sizes.items()}
    row = rng.normal(size=23 + -23 % n).astype(np.float32)
    tree = unpack(row, like)
    chex.assert_trees_all_equal_shapes_and_dtypes(tree, like)
    numbers = np.concatenate([np.ravel(tree[name]) for name in "abc"])
    np.testing.assert_array_equal(numbers, row[:23])


@pytest.mark.parametrize("n", [1, 3, 8])
def test_rows_are_padded_to_a_multiple_of_the_devices(n):
    packed = pack(PARAMS, n, jnp.float32)
    assert all(x.shape[-1] % n == 0 for x in packed.values())
    assert packed["layers"].shape[0] == MODEL.n_layers
    assert not np.any(packed["outer"][496:]) and not np.any(packed["layers"][:, 1904:])
    chex.assert_trees_all_equal(trees(packed, MODEL), parts(PARAMS))
    assert shapes(MODEL)["layers"]["gate"].shape == (16, 23)


def test_adam_equals_optax_adam():
    tx, rng = optax.adam(CFG.learning_rate, CFG.b1, CFG.b2, CFG.eps), np.random.default_rng(0)
    x = rng.normal(size=5).astype(np.float32)
    opt = {"master": x, "first": np.zeros_like(x), "second": np.zeros_like(x)}
    state, y = tx.init(x), x
    for t in range(1, 5):
        g = rng.normal(size=5).astype(np.float32)
        opt = adam(opt, g, np.float32(t), CFG)
        updates, state = tx.update(g, state, y)
        y = optax.apply_updates(y, updates)
    np.testing.assert_allclose(opt["master"], y, **NUMBER)


def test_the_study_measures_what_it_claims():
    runs, one = (
        {stage: trained(HALF, stage) for stage in STAGES},
        trained(dataclasses.replace(HALF, devices=1), 0),
    )
    metrics = memory_metrics(runs, HALF) | communication_metrics(runs, HALF)
    metrics |= training_metrics(runs, one, start(HALF)[0])
    assert all(0 <= metrics[f"excess_stage{stage}"] < metrics["padding_bound"] for stage in STAGES)
    sent = [metrics[f"sent_per_parameter_stage{stage}"] for stage in STAGES]
    assert sent[:3] == pytest.approx([2, 3, 2], abs=SCALARS) and 2.5 < sent[3] < 3
    assert metrics["largest_gradient_distance"] < 0.02
    assert metrics["largest_distance_between_stages"] == 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="batch 9 must be a multiple of devices 8"):
        Config(batch=9)
    with pytest.raises(UserError, match="needs 12 devices, there are 8"):
        measured(study(over(12)), KEY)
