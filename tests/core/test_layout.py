import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core.layout import split_batch, whole_rows
from panorax.parallel.sharding import make_mesh

X = np.arange(32.0, dtype=np.float32).reshape(8, 4)


def test_without_a_mesh_there_is_no_constraint():
    text = jax.jit(lambda x: whole_rows(split_batch(x))).lower(X).as_text()
    assert "sharding" not in text


@pytest.mark.parametrize("rows, split", [(8, True), (6, False)])
def test_rows_are_split_over_data_and_fsdp_if_these_divide_them(rows, split):
    mesh = make_mesh("data=2,fsdp=2")
    with jax.set_mesh(mesh):
        y = jax.jit(lambda x: split_batch(x + 1))(X[:rows])
    assert (y.sharding.shard_shape(y.shape)[0] == rows // 4) == split
    np.testing.assert_array_equal(y, X[:rows] + 1)


def test_a_table_split_by_width_is_gathered_before_it_is_indexed():
    mesh = make_mesh("fsdp=4")
    table = jax.device_put(X, NamedSharding(mesh, PartitionSpec(None, "fsdp")))
    with jax.set_mesh(mesh):
        lookup = jax.jit(lambda table, i: whole_rows(table)[i])
        np.testing.assert_array_equal(lookup(table, jnp.array([3, 1])), X[[3, 1]])
        text = lookup.lower(table, jnp.array([3, 1])).compile().as_text()
    assert "all-gather" in text
