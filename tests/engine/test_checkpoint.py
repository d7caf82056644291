import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.core.state import State
from panorax.engine.checkpoint import Checkpoints, saved
from panorax.parallel.sharding import make_mesh


def state(step, width=8):
    return State({"w": jnp.arange(4.0 * width).reshape(4, width) + step}, (), (), jnp.int32(step))


def abstract(like, spec=()):
    sharding = jax.NamedSharding(make_mesh("data=4"), jax.P(*spec))
    put = lambda x: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=sharding if x.ndim else jax.NamedSharding(sharding.mesh, jax.P())
    )
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


def test_the_newest_step_is_the_largest_number(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (500, 1000):
            checkpoints.save(state(step))
    with Checkpoints(tmp_path) as checkpoints:
        assert saved(tmp_path) == [1000, 500] and checkpoints.latest() == 1000
        assert int(checkpoints.restore(abstract(state(0))).step) == 1000


def test_a_step_is_saved_once_and_its_state_may_be_donated(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        donated = state(1, width=1 << 20)
        checkpoints.save(donated)
        jax.block_until_ready(overwrite(donated))
        checkpoints.save(state(1))
        back = checkpoints.restore(abstract(state(1, width=1 << 20)))
    np.testing.assert_array_equal(back.params["w"], state(1, width=1 << 20).params["w"])


def test_a_checkpoint_is_restored_onto_another_mesh(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(5))
        back = checkpoints.restore(abstract(state(5), ("data",)))
    assert {shard.data.shape for shard in back.params["w"].addressable_shards} == {(1, 8)}
    np.testing.assert_array_equal(back.params["w"], state(5).params["w"])


def test_a_missing_checkpoint_and_another_structure_are_one_line(tmp_path):
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match="no checkpoint to resume from"),
    ):
        checkpoints.restore(abstract(state(0)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(1))
        other = state(1).replace(params={"v": jnp.zeros(3)})
        with pytest.raises(UserError, match="is whole but does not fit this") as error:
            checkpoints.restore(abstract(other))
    assert "\n" not in str(error.value) and not [*tmp_path.glob("*.damaged")]


def test_a_whole_checkpoint_that_does_not_fit_is_not_renamed(tmp_path):
    other = state(1).replace(params={"v": jnp.zeros(3)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(other)
        checkpoints.save(state(2))
        with pytest.raises(UserError, match="step 2 in .* is whole but does not fit this config"):
            checkpoints.restore(abstract(other))
        wider = state(2).replace(params={"w": jnp.zeros((3, 3))})
        with pytest.raises(
            UserError, match=r"params/w has the shape \(4, 8\), in this config \(3, 3\)$"
        ):
            checkpoints.restore(abstract(wider))
    assert (tmp_path / "2").is_dir() and not [*tmp_path.glob("*.damaged")]


@pytest.mark.parametrize("content", [b"null", b"[]", b"5", b"\xff\x00\x80", b"[" * 100_000])
@pytest.mark.parametrize("name", ["2.sha256", "2/_CHECKPOINT_METADATA"])
def test_a_seal_and_metadata_of_any_content_are_damage(tmp_path, capsys, name, content):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state(step))
    (tmp_path / name).write_bytes(content)
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(abstract(state(0))).step) == 1
    assert capsys.readouterr().err.count("\n") == 1 and (tmp_path / "2.damaged").is_dir()


def test_a_directory_that_cannot_be_opened_is_one_line(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(1))
    (tmp_path / "1.sha256").unlink()
    (tmp_path / "1" / "_CHECKPOINT_METADATA").write_text("5")
    with pytest.raises(UserError, match="cannot be opened: Metadata dict must be"):
        Checkpoints(tmp_path)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garble(file):
    file.write_bytes(bytes(b ^ 0x5A for b in file.read_bytes()))


FILES = (
    "state/_METADATA",
    "state/manifest.ocdbt",
    "state/ocdbt.process_0/d",
    "_CHECKPOINT_METADATA",
)


@pytest.mark.parametrize("harm", [truncate, garble, Path.unlink], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_renamed_and_the_previous_one_used(tmp_path, capsys, harm, name):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state(step))
    file = tmp_path / "2" / name
    harm(max(file.iterdir(), key=lambda p: p.stat().st_size) if file.is_dir() else file)
    with Checkpoints(tmp_path) as checkpoints:
        back = checkpoints.restore(abstract(state(0)))
        assert int(back.step) == 1 == checkpoints.latest()
        np.testing.assert_array_equal(back.params["w"], state(1).params["w"])
        checkpoints.save(state(2))
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "the checkpoint of step 2 is damaged" in error
    assert (tmp_path / "2.damaged").is_dir()
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(abstract(state(0))).step) == 2


def test_checkpoints_keep_their_names_if_all_are_damaged(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state(step))
    for step in ("1", "2"):
        (tmp_path / step / "state" / "_METADATA").unlink()
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(UserError, match="is whole and fits this config; step 2: state/_META"):
            checkpoints.restore(abstract(state(0)))
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"1", "2"}


def test_a_checkpoint_without_a_seal_is_used(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(1))
    (tmp_path / "1.sha256").unlink()
    (tmp_path / "3").mkdir()  # an empty folder is not a checkpoint
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(abstract(state(0))).step) == 1


def test_seals_of_deleted_checkpoints_are_deleted(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state(step))
    seals = {p.name for p in tmp_path.glob("*.sha256")}
    assert {"3.sha256"} <= seals <= {"2.sha256", "3.sha256"}
