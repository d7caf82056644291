import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec
from panorax.configs.distributed import tensor_parallel as config

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.study import measured
from panorax.distributed.tensor_parallel import (
    Config,
    embedding,
    loss_fn,
    partition,
    split_cross_entropy,
    study,
)
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.ops.losses import cross_entropy
from panorax.parallel.measures import bytes_on_a_device, collectives, devices_in_a_row, executions
from panorax.testing.tolerances import GRADIENT, LAYER, SAME

P = PartitionSpec
MODEL = llama.Model(vocab=32, d_model=32, n_layers=2, n_heads=8, n_kv_heads=8, d_ff=40)
UNTIED = dataclasses.replace(MODEL, tied=False)
GROUPED = dataclasses.replace(MODEL, n_kv_heads=2)
KEY = jax.random.key(0)
TOKENS = np.random.default_rng(0).integers(0, 32, (2, 9))
close = functools.partial(chex.assert_trees_all_close, **GRADIENT)


@functools.cache
def value_and_grad(model, devices):
    mesh, specs = devices_in_a_row(devices, "tensor"), partition(model)
    return jax.jit(
        jax.shard_map(
            jax.value_and_grad(functools.partial(loss_fn, model=model)),
            mesh=mesh,
            in_specs=(specs, P()),
            out_specs=(P(), specs),
        )
    )


def loss_on_one(model):
    net = decoder.net(model)
    return lambda params, tokens: language_model.loss_fn(params, (), tokens, KEY, net)[0]


@functools.cache
def params_of(model):
    @jax.jit
    def drawn(key):
        params = core_spec.init(llama.spec(model), key)
        noise = lambda x: 0.1 * jax.random.normal(jax.random.key(x.size), x.shape)
        return jax.tree.map(lambda x: x + noise(x), params)  # scales of norms are not all 1

    return drawn(KEY)


@functools.cache
def on_one_device(model):
    return jax.jit(jax.value_and_grad(loss_on_one(model)))(params_of(model), TOKENS)


@pytest.mark.parametrize("model, devices", [(MODEL, 1), (MODEL, 8), (UNTIED, 8), (GROUPED, 2)])
def test_loss_and_gradients_equal_llama_on_one_device(model, devices):
    close(value_and_grad(model, devices)(params_of(model), TOKENS), on_one_device(model))


def test_a_layer_all_reduces_the_residual_stream_twice_each_way():
    program = value_and_grad(MODEL, 8).lower(params_of(MODEL), TOKENS).compile()
    found = collectives(program.as_text())
    layers = [c for c in found if c.times == MODEL.n_layers]
    assert {c.kind for c in found} == {"all-reduce"}
    assert executions(layers, "all-reduce") == 4 * MODEL.n_layers
    # without f, devices would send three cotangents in place of one
    assert all(c.arrays == (("f32", 2 * 8 * 32),) for c in layers)
    assert executions(found, "all-reduce") - 4 * MODEL.n_layers == 4
    assert 2 * 8 * 32 == max(elements for c in found for _, elements in c.arrays)  # never logits


def test_matrices_are_split_and_scales_are_not():
    specs = partition(UNTIED)
    by_name = {name: spec for name, spec in specs.items() if name != "layers"} | specs["layers"]
    whole = {name for name, spec in by_name.items() if "tensor" not in spec}
    assert whole == {"attn_norm", "mlp_norm", "norm"}
    mesh = devices_in_a_row(8, "tensor")
    shardings = jax.tree.map(lambda spec: jax.NamedSharding(mesh, spec), specs)
    placed = jax.device_put(params_of(UNTIED), shardings)
    for x, spec in zip(jax.tree.leaves(placed), jax.tree.leaves(specs), strict=True):
        assert bytes_on_a_device(x) * (8 if "tensor" in spec else 1) == x.nbytes


MESH = devices_in_a_row(4, "tensor")
split_loss = jax.shard_map(
    lambda z, y: jnp.mean(split_cross_entropy(z, y)),
    mesh=MESH,
    in_specs=(P(None, None, "tensor"), P()),
    out_specs=P(),
)
of_split_logits = jax.jit(jax.value_and_grad(split_loss))
of_whole_logits = jax.jit(jax.value_and_grad(lambda z, y: jnp.mean(cross_entropy(z, y))))
look_up = jax.jit(jax.shard_map(embedding, mesh=MESH, in_specs=(P("tensor"), P()), out_specs=P()))


@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.0, 100.0, 1e4]))
def test_split_cross_entropy_equals_cross_entropy(seed, scale):
    rng = np.random.default_rng(seed)
    logits, label = rng.normal(0, scale, (2, 3, 12)).astype(np.float32), rng.integers(0, 12, (2, 3))
    loss, grad = of_split_logits(logits, label)
    expected, expected_grad = of_whole_logits(logits, label)
    np.testing.assert_allclose(loss, expected, **LAYER)
    np.testing.assert_allclose(grad, expected_grad, **SAME)


def test_each_token_is_embedded_by_the_device_that_holds_it():
    table = np.arange(24, dtype=np.float32).reshape(8, 3)
    np.testing.assert_array_equal(look_up(table, np.arange(8)[None, :]), table[None])


def test_the_study_measures_what_it_claims():
    metrics = measured(study(config.smoke()), KEY).metrics
    assert metrics["forward_all_reduces_per_layer"] == 2
    assert metrics["backward_all_reduces_per_layer"] == 2
    assert metrics["share_of_split_activations"] == 0.5
    assert metrics["largest_share_of_a_matrix"] == metrics["smallest_share_of_a_matrix"] == 0.5
    assert metrics["largest_loss_difference"] < 1e-5 and metrics["parameter_distance"] < 1e-3
    assert metrics["last_loss"] < metrics["first_loss"]
    assert metrics["gradient_distance"] < 1e-5 and 0.5 < metrics["share_of_all_parameters"] < 0.52


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(model=GROUPED), "model.n-kv-heads 2 must be a multiple of devices 8"),
        (dict(model=dataclasses.replace(MODEL, vocab=30)), "model.vocab 30 must be"),
        (dict(model=MODEL, devices=3), "model.vocab 32 must be a multiple of devices 3"),
        (dict(model=dataclasses.replace(MODEL, dtype="bfloat16")), "model.dtype must be float32"),
        (dict(model=MODEL, devices=0), "devices must be at least 1"),
    ],
)
def test_bad_config_is_refused(wrong, message):
    with pytest.raises((ValueError, UserError), match=message):
        Config(**wrong)
