import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.lm import language_model
from panorax.nets.decoders import llama
from panorax.parallel.sharding import (
    MESH_AXES,
    RULES,
    make_mesh,
    optimizer_shardings,
    partition,
    placement,
    shardings,
)

MESHES = [
    make_mesh(sizes)
    for sizes in (
        "",
        "data=4",
        "fsdp=4",
        "data=2,fsdp=2",
        "fsdp=2,tensor=2",
        "data=2,fsdp=2,tensor=2",
    )
]
NAMES = st.sampled_from([None, *RULES])


@given(st.sampled_from(MESHES), st.lists(st.tuples(NAMES, st.integers(1, 12)), max_size=5))
def test_a_mesh_axis_splits_one_array_axis_and_divides_it(mesh, axes):
    names, shape = tuple(name for name, _ in axes), tuple(size for _, size in axes)
    used = []
    for over, size in zip(partition(names, shape, mesh), shape):
        over = (over,) if isinstance(over, str) else over or ()
        assert size % math.prod(mesh.shape[a] for a in over) == 0
        used += over
    assert len(used) == len(set(used))


@pytest.mark.parametrize(
    "names, expected",
    [
        (("vocab", "mlp"), (("tensor",), ("fsdp",))),
        (("embed", "embed"), (("fsdp",), None)),
        (("batch", "embed"), (("data", "fsdp"), None)),
        (("batch", "outputs"), (("data", "fsdp"), None)),
    ],
)
def test_no_mesh_axis_splits_two_axes_of_one_array(names, expected):
    mesh = make_mesh("data=2,fsdp=2,tensor=2")
    assert partition(names, (8, 8), mesh) == PartitionSpec(*expected)


def test_an_axis_that_the_mesh_does_not_divide_stays_whole():
    mesh = make_mesh("fsdp=2,tensor=2")
    assert partition(("embed", "mlp"), (6, 5), mesh) == PartitionSpec(("fsdp",), None)
    assert partition(("vocab", "embed"), (6, 4), mesh) == PartitionSpec(("tensor",), ("fsdp",))


def test_every_device_holds_its_share_of_parameters_and_moments():
    cfg = language_model.Config(
        model=llama.Model(vocab=64, d_model=32, n_layers=2, n_heads=4, n_kv_heads=4, d_ff=64),
        run=Run(steps=2),
    )
    system = language_model.system(cfg)
    abstract = jax.eval_shape(system.init_state, jax.random.key(0))
    place = placement(system, abstract, make_mesh("fsdp=2,tensor=2"))
    assert place.batch.spec == PartitionSpec(("data", "fsdp"))
    assert place.stacked_batch.spec == PartitionSpec(None, ("data", "fsdp"))
    state = jax.jit(system.init_state, out_shardings=place.state)(jax.random.key(0))
    bytes_of = lambda leaves: sum(x.nbytes for x in leaves)
    matrices = [
        x
        for x in jax.tree.leaves((state.params, state.opt))
        if x.ndim >= 2 and x.shape[-1] > 1 and x.size > 64
    ]
    shards = [x.addressable_shards[0].data for x in matrices]
    assert bytes_of(shards) * 4 == bytes_of(matrices)


def test_extra_axes_are_a_prefix_and_none_means_replicated():
    tree = {"a": {"x": jnp.zeros((8, 3)), "y": jnp.zeros(8)}, "b": jnp.zeros(8)}
    placed = shardings({"a": ("batch",), "b": None}, tree, make_mesh("data=4"))
    assert placed["a"]["x"].spec == PartitionSpec("data")
    assert placed["a"]["y"].spec == PartitionSpec("data")
    assert placed["b"].is_fully_replicated


@pytest.mark.parametrize(
    "text, message",
    [
        ("rows=2", "bad mesh 'rows=2'"),
        ("data", "bad mesh"),
        ("data=0", "bad mesh"),
        ("data=x", "bad mesh"),
        ("data=2,data=2", "bad mesh 'data=2': give each size once"),
        ("data=9", "needs 9 devices, there are 8"),
    ],
)
def test_an_invalid_mesh_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        make_mesh(text)


def test_an_empty_text_is_one_device():
    assert dict(make_mesh("").shape) == dict.fromkeys(MESH_AXES, 1)
    assert np.size(make_mesh("tensor=2").devices) == 2


def test_fsdp_splits_the_largest_axis_if_no_rule_does():
    mesh = make_mesh("fsdp=4,tensor=2")
    assert partition(("inputs", "outputs"), (12, 64), mesh) == PartitionSpec(None, ("fsdp",))
    assert partition(("y", "x", "inputs", "outputs"), (3, 3, 1, 32), mesh) == PartitionSpec(
        None, None, None, ("fsdp",)
    )
    assert partition(("heads", "head_dim", "embed"), (2, 8, 6), mesh) == PartitionSpec(
        ("tensor",), ("fsdp",), None
    )
    assert partition(("layers", "outputs"), (8, 6), mesh) == PartitionSpec(None, None)


PLAYERS = {
    name: {"w": jnp.zeros((8, 16)), "b": jnp.zeros(16)} for name in ("generator", "discriminator")
}
NAMED = {name: {"w": ("embed", "outputs"), "b": ("outputs",)} for name in PLAYERS}


@pytest.mark.parametrize(
    "tx",
    [
        optax.adam(0.1),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1)),
        optax.contrib.sophia(0.1),
    ],
)
def test_moments_have_the_shardings_of_their_parameters_at_any_nesting(tx):
    mesh = make_mesh("fsdp=8")
    placed = shardings(NAMED, PLAYERS, mesh)
    opt = {name: tx.init(PLAYERS[name]) for name in PLAYERS}
    result = optimizer_shardings(opt, PLAYERS, placed, mesh)
    pairs = list(zip(jax.tree.leaves(opt), jax.tree.leaves(result), strict=True))
    assert all(s.spec == PartitionSpec(("fsdp",), None) for x, s in pairs if x.shape == (8, 16))
    assert all(s.spec == PartitionSpec(("fsdp",)) for x, s in pairs if x.shape == (16,))
    assert sum(x.shape == (8, 16) for x, _ in pairs) >= 4


def test_parameters_with_a_common_path_suffix_are_distinguished():
    mesh = make_mesh("fsdp=8")
    params = {"a": {"w": jnp.zeros((8, 8))}, "b": {"a": {"w": jnp.zeros((8, 8))}}}
    placed = shardings(
        {"a": {"w": ("inputs", None)}, "b": {"a": {"w": (None, "outputs")}}}, params, mesh
    )
    result = optimizer_shardings(optax.adam(0.1).init(params), params, placed, mesh)
    assert result[0].mu["a"]["w"].spec == PartitionSpec(("fsdp",), None)
    assert result[0].mu["b"]["a"]["w"].spec == PartitionSpec(None, ("fsdp",))


def test_an_array_that_follows_no_parameter_is_split_along_its_largest_axis():
    mesh = make_mesh("fsdp=8")
    params = {"w": jnp.zeros((16, 24))}
    opt = {
        "factors": {"w": {"a": jnp.zeros((17, 17)), "g": jnp.zeros((24, 24))}},
        "count": jnp.int32(0),
    }
    result = optimizer_shardings(
        opt, params, shardings({"w": ("inputs", "outputs")}, params, mesh), mesh
    )
    assert result["factors"]["w"]["g"].spec == PartitionSpec("fsdp", None)
    assert result["factors"]["w"]["a"].is_fully_replicated and result["count"].is_fully_replicated
