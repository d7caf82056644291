import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.checkpoint import Checkpoints
from panorax.core.errors import UserError
from panorax.core.state import State
from panorax.parallel.sharding import make_mesh


def state(step, width=8):
    return State({"w": jnp.arange(4.0 * width).reshape(4, width) + step}, (), (), jnp.int32(step))


def abstract(like, spec=()):
    sharding = jax.NamedSharding(make_mesh("data=4"), jax.P(*spec))
    put = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding if x.ndim else jax.NamedSharding(sharding.mesh, jax.P()))
    return jax.tree.map(put, like)


@functools.partial(jax.jit, donate_argnums=0)
def overwrite(state):
    return jax.tree.map(lambda x: x - x, state)


def test_the_newest_n_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest() is None
        for step in (1, 2, 3):
            checkpoints.save(state(step))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.isdecimal()) == ["2", "3"]
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 3


def test_a_step_is_saved_once_and_what_is_saved_may_be_donated(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        one = state(1, width=1 << 20)
        checkpoints.save(one)
        jax.block_until_ready(overwrite(one))
        checkpoints.save(state(1))
        back = checkpoints.restore(abstract(state(1, width=1 << 20)))
    np.testing.assert_array_equal(back.params["w"], state(1, width=1 << 20).params["w"])


def test_it_is_restored_onto_another_mesh(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(5))
        back = checkpoints.restore(abstract(state(5), ("data",)))
    assert {shard.data.shape for shard in back.params["w"].addressable_shards} == {(1, 8)}
    np.testing.assert_array_equal(back.params["w"], state(5).params["w"])


def test_what_does_not_fit_or_is_not_there_is_one_line(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match="no checkpoint to resume from"):
        checkpoints.restore(abstract(state(0)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(1))
        other = state(1).replace(params={"v": jnp.zeros(3)})
        with pytest.raises(UserError, match="does not fit this config") as error:
            checkpoints.restore(abstract(other))
    assert "\n" not in str(error.value)
