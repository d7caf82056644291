"""Operations on a mesh: every device runs the kernels on its own part of the arrays."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from panorax.configs.lm import llama as experiment

from pallas_kernels import proof
from panorax.engine.run import with_shardings
from panorax.lm import language_model
from panorax.nets.decoders import llama
from panorax.ops.blockwise import causal_attention
from panorax.ops.gates import geglu, swiglu
from panorax.ops.norms import layer_norm, rms_norm
from panorax.ops.positions import rope
from panorax.ops.unembedding import Unembedding, cross_entropy_sum
from panorax.parallel.sharding import make_mesh, placement
from panorax.testing.tolerances import LAYER

KERNEL = {"implementation": "triton_interpreted"}
B, T, D = 4, 6, 16
TIME = jnp.arange(T)[None]


def attention_of(G: int, K: int = 4):
    """Attention over 4 or 3 heads that share G key/value heads, in a window of 4 tokens."""
    heads = 3 if G == 3 else 4
    shapes = ((B, T, heads, K), (B, T, G, K), (B, T, G, K))
    run = lambda q, k, v: causal_attention(q, k, v, TIME, TIME, jnp.int32(4), **KERNEL)
    return run, shapes


def rotated(frequencies):
    return lambda x: rope(x, jnp.broadcast_to(TIME, (len(x), T)), frequencies, **KERNEL)


LABELS = jnp.asarray(np.random.default_rng(1).integers(0, 8, (B, T)))
FREQUENCIES = jnp.asarray(np.random.default_rng(2).uniform(size=(B, 2)), jnp.float32)
CALLS = {
    "rms_norm": (lambda x, s: rms_norm(x, s, 1e-6, **KERNEL), ((B, T, D), (D,))),
    "rms_norm of heads": (lambda x, s: rms_norm(x, s, 1e-6, **KERNEL), ((B, T, 4, D), (D,))),
    "layer_norm": (lambda x, s, b: layer_norm(x, s, b, 1e-6, **KERNEL), ((B, D), (D,), (D,))),
    "rope": (rotated(FREQUENCIES[0]), ((B, T, 2, 4),)),
    "rope by row": (rotated(FREQUENCIES), ((B, T, 2, 4),)),
    "swiglu": (functools.partial(swiglu, **KERNEL), ((B, T, D), (B, T, D))),
    "geglu, odd sizes": (functools.partial(geglu, **KERNEL), ((3, D + 1), (3, D + 1))),
    "attention": attention_of(2),
    "attention, one key head": attention_of(1),
    "attention, heads that no mesh divides": attention_of(3),
    "cross_entropy": (
        lambda x, w: cross_entropy_sum(Unembedding(x, w), LABELS, **KERNEL) / LABELS.size,
        ((B, T, D), (D, 8)),
    ),
}


def with_gradients(run, shapes):
    """A program of values and gradients, and its arguments."""

    def program(*arrays):
        y, pull = jax.vjp(run, *arrays)
        return y, pull(jnp.sin(3 * y))

    draw = np.random.default_rng(0).normal
    return jax.jit(program), [jnp.asarray(draw(size=shape), jnp.float32) for shape in shapes]


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_equal_those_of_one_device(name):
    program, arrays = with_gradients(*CALLS[name])
    one = program(*arrays)
    with jax.set_mesh(make_mesh("data=2,fsdp=2,tensor=2")):
        many = program(*arrays)
    jax.tree.map(functools.partial(np.testing.assert_allclose, **LAYER), many, one)


@pytest.mark.parametrize(
    "name, part",
    [
        ("rms_norm", "2,6,16"),
        ("rms_norm of heads", "2,6,2,16"),
        ("layer_norm", "2,16"),
        ("rope by row", "2,6,1,4"),
        ("swiglu", "2,6,8"),
        ("attention", "2,6,2,4"),
        ("attention, heads that no mesh divides", "2,6,3,4"),
        ("cross_entropy", "2,3,16"),
    ],
)
def test_a_kernel_gets_the_rows_heads_columns_or_tokens_of_its_device(name, part):
    run, shapes = CALLS[name]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    with jax.set_mesh(make_mesh("data=2,tensor=2")):
        assert f":f32[{part}]" in str(jax.make_jaxpr(run)(*arrays))
    assert f":f32[{part}]" not in str(jax.make_jaxpr(run)(*arrays))


def test_inside_shard_map_a_device_calls_the_kernel_on_what_it_has():
    run, shapes = CALLS["swiglu"]
    program, arrays = with_gradients(run, shapes)
    rows = PartitionSpec("data")
    with jax.set_mesh(make_mesh("data=2,tensor=2")):
        mapped = jax.shard_map(run, in_specs=rows, out_specs=rows, check_vma=False)
        np.testing.assert_allclose(jax.jit(mapped)(*arrays), program(*arrays)[0], **LAYER)


@pytest.mark.parametrize("name, sums", [("rms_norm", 1), ("swiglu", 0), ("attention", 0)])
def test_devices_exchange_only_the_gradients_of_shared_arguments(name, sums):
    """What is split by rows, heads or columns stays so, and copies of it are not summed."""
    program, arrays = with_gradients(*CALLS[name])
    mesh = make_mesh("data=2,tensor=2")
    last = {"rms_norm": (), "swiglu": (None, "tensor"), "attention": (None, "tensor")}[name]
    split = NamedSharding(mesh, PartitionSpec("data", *last))
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, split) if x.ndim > 1 else x for x in arrays]
        text = program.lower(*placed).compile().as_text()
    assert text.count(" all-reduce(") == sums
    assert " all-gather(" not in text and " all-to-all(" not in text


def test_a_step_of_a_language_model_on_a_mesh_holds_the_kernels(monkeypatch):
    """Lowered for CUDA on 2 x 2 devices: the calls of one device, on parts of the arrays."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    model = llama.Model(vocab=512, d_model=64, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=128)
    sizes = {"model": model, "batch": 4, "context": 32, "stride": 32}
    cfg = dataclasses.replace(experiment.get_config(), **sizes)
    system, key = language_model.system(cfg), jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)

    def calls(**sizes):
        names = ("data", "fsdp", "tensor")
        mesh = AbstractMesh(
            tuple(sizes.get(name, 1) for name in names),
            names,
            axis_types=(AxisType.Auto,) * 3,
            abstract_device=proof.GPU,
        )
        place = placement(system, state, mesh)
        rows = jax.ShapeDtypeStruct(system.batch.shape, system.batch.dtype, sharding=place.batch)
        with jax.sharding.use_abstract_mesh(mesh):
            traced = jax.jit(system.train_step).trace(with_shardings(state, place.state), rows, key)
            return traced.lower(lowering_platforms=("cuda",)).as_text().count(proof.CALLS["triton"])

    assert calls(data=2, tensor=2) == calls() > 10
