import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core.errors import UserError
from panorax.parallel.measures import (
    Collective,
    bytes_on_a_device,
    collectives,
    devices_in_a_row,
    distance,
    executions,
)

MESH = devices_in_a_row(4, "x")
P = PartitionSpec


def program(function, out=P("x")):
    mapped = jax.jit(jax.shard_map(function, mesh=MESH, in_specs=P("x"), out_specs=out))
    return collectives(mapped.lower(np.ones((8, 3), np.float32)).compile().as_text())


def test_more_devices_than_available_are_refused():
    assert devices_in_a_row(1, "x").size == 1 and devices_in_a_row(8, "x").size == 8
    with pytest.raises(UserError, match="needs 9 devices, there are 8"):
        devices_in_a_row(9, "x")


def test_bytes_are_the_largest_of_any_device():
    x = np.ones((8, 3), np.float32)
    split, copied = (jax.device_put(x, NamedSharding(MESH, spec)) for spec in (P("x"), P()))
    assert bytes_on_a_device(split) == 24 and bytes_on_a_device(copied) == 96
    assert bytes_on_a_device({"a": split, "b": (copied, jnp.ones(2, jnp.bfloat16))}) == 24 + 96 + 4


def test_distance_is_the_norm_over_the_whole_tree():
    assert (
        distance({"a": np.ones(3), "b": np.zeros(2)}, {"a": np.ones(3), "b": np.array([3.0, 4.0])})
        == 5
    )
    assert distance(jnp.ones(2, jnp.bfloat16), np.ones(2)) == 0


def test_kind_and_size_of_each_collective():
    assert program(lambda x: jax.lax.psum(x, "x"), P()) == [
        Collective("all-reduce", 1, (("f32", 6),))
    ]
    [gather] = program(lambda x: jax.lax.all_gather(x, "x", tiled=True))
    assert (gather.kind, gather.elements, gather.bytes) == ("all-gather", 24, 96)
    [scatter] = program(lambda x: jax.lax.psum_scatter(jnp.tile(x, (2, 1)), "x", tiled=True))
    assert (scatter.kind, scatter.elements, scatter.bytes) == ("reduce-scatter", 3, 12)
    [sent] = program(lambda x: jax.lax.ppermute(x, "x", [(i, (i + 1) % 4) for i in range(4)]))
    assert (sent.kind, sent.elements) == ("collective-permute", 6)
    assert program(lambda x: 2 * x) == []


def test_sums_of_several_arrays_are_one_instruction():
    [merged] = program(lambda x: jax.lax.psum((x, jnp.sum(x)), "x"), P())
    assert sorted(merged.arrays) == [("f32", 1), ("f32", 6)] and merged.bytes == 28


@pytest.mark.parametrize("outer, inner", [(3, 1), (3, 5)])
def test_a_collective_in_a_loop_counts_once_per_iteration(outer, inner):
    shift = lambda x, _: (jnp.tanh(jax.lax.ppermute(x, "x", [(0, 1), (1, 0)])), None)
    turn = lambda x, _: (jax.lax.scan(shift, x, length=inner)[0], None)
    exchanges = program(lambda x: jax.lax.scan(turn, x, length=outer)[0])
    assert executions(exchanges, "collective-permute") == outer * inner
    assert executions(exchanges, "all-reduce") == 0


def test_collectives_in_a_branch_count():
    swap = functools.partial(jax.lax.ppermute, axis_name="x", perm=[(0, 1), (1, 0)])
    exchanges = program(
        lambda x: jax.lax.cond(
            jax.lax.psum(jnp.sum(x), "x") > 0, lambda x: jnp.tanh(swap(x)), jnp.sin, x
        )
    )
    assert executions(exchanges, "collective-permute") == 1


def test_a_loop_of_unknown_length_is_refused():
    shift = lambda x: jax.lax.ppermute(x, "x", [(0, 1), (1, 0)]) * 0.5
    with pytest.raises(ValueError, match="an unknown number of iterations"):
        program(
            lambda x: jax.lax.while_loop(lambda x: jax.lax.pmax(jnp.max(x), "x") > 0.1, shift, x)
        )
