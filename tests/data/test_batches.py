import chex
import grain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.data import batches as data
from panorax.data import readers

TOKENS = np.arange(100)


@given(st.integers(0, 5), st.integers(0, 1000))
def test_windows_are_consecutive_and_determined_by_seed_and_step(seed, step):
    x = data.windows(TOKENS, 4, 7, seed, step)
    assert x.shape == (4, 7) and x.dtype == np.int32
    np.testing.assert_array_equal(np.diff(x), 1)
    np.testing.assert_array_equal(x, data.windows(TOKENS, 4, 7, seed, step))


@pytest.mark.parametrize("n, length", [(100, 7), (98, 7), (21, 10)])
def test_an_epoch_visits_each_window_once_and_epochs_differ_in_offset(n, length):
    count = n // length - 1
    windows = [data.windows(TOKENS[:n], 1, length, 0, step) for step in range(3 * count)]
    starts = np.array(windows)[:, 0, 0].reshape(3, count)
    np.testing.assert_array_equal(np.diff(np.sort(starts)), length)
    assert len(np.unique(starts % length)) > 1


def test_windows_reach_both_ends_of_the_data():
    starts = {int(s) for step in range(200) for s in data.windows(TOKENS, 4, 98, 0, step)[:, 0]}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("n", [2, 8, 9, 10, 17])
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_rows_predict_each_token_once(n, stride):
    rows, weights = data.rows(TOKENS[:n], 4, stride)
    np.testing.assert_array_equal(rows[:, 1:][weights > 0], TOKENS[1:n])
    np.testing.assert_array_equal(rows[:, :-1][weights > 0], TOKENS[: n - 1])
    assert rows.shape[1] == 5 and (weights[1:].sum(1) > 0).all()


def test_the_stride_of_rows_is_at_most_the_length():
    with pytest.raises(ValueError, match="between 1 and the window's 4"):
        data.rows(TOKENS, 4, 5)


@pytest.mark.parametrize("n, batch", [(10, 3), (7, 7), (5, 8)])
def test_each_epoch_visits_every_example_once(n, batch):
    indices = np.concatenate([data.epochs(n, batch, 0, step) for step in range(3 * n)])
    orders = indices[: 3 * n].reshape(3, n)
    np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(np.arange(n), (3, n)))
    assert not np.array_equal(orders[0], orders[1])


def test_batches_of_a_grain_dataset_are_determined_by_the_step():
    dataset = grain.MapDataset.source(TOKENS).shuffle(seed=1).repeat().batch(8)
    batches = data.from_grain(dataset)
    np.testing.assert_array_equal(batches(30), batches(30))
    assert sorted(np.concatenate([batches(i) for i in range(25)])) == sorted(np.tile(TOKENS, 2))


def test_read_tokens(tmp_path):
    np.save(tmp_path / "t.npy", TOKENS)
    np.testing.assert_array_equal(readers.read_tokens(str(tmp_path / "t.npy")), TOKENS)


def test_read_arrays(tmp_path):
    written = {"images": np.ones((3, 2)), "labels": np.zeros(3)}
    np.savez(tmp_path / "a.npz", **written)
    arrays = readers.read_arrays(str(tmp_path / "a.npz"), ("images", "labels"))
    chex.assert_trees_all_equal(arrays, written)


def test_read_documents_sorts_files_and_skips_empty_ones(tmp_path):
    for name, content in {"b.txt": "b", "a.txt": "a", "empty.txt": ""}.items():
        (tmp_path / name).write_text(content)
    assert readers.read_documents(str(tmp_path)) == ["a", "b"]


def read_images(path):
    return readers.read_arrays(path, ("images", "labels"))


def read_x(path):
    return readers.read_arrays(path, ("x",))


def _files(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 2)), labels=np.zeros(2))
    np.save(tmp_path / "float.npy", np.zeros(3))
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "zero.npy").write_bytes(b"")


@pytest.mark.parametrize(
    "read, file, message",
    [
        (readers.read_documents, "none.txt", "does not exist"),
        (readers.read_documents, "latin.txt", r"not UTF-8 text \(byte 3\)"),
        (readers.read_documents, "empty.txt", "holds no text"),
        (readers.read_tokens, "float.npy", "1-D integer array"),
        (readers.read_tokens, "object.npy", "cannot be read"),
        (readers.read_tokens, "zero.npy", "cannot be read"),
        (readers.read_tokens, "a.npz", "must be a .npy file"),
        (read_images, "a.npz", "differ in their first axis"),
        (read_x, "a.npz", "no array 'x'"),
        (read_x, "broken.npz", "cannot be read"),
    ],
)
def test_an_unreadable_file_gives_an_error_of_one_line(tmp_path, read, file, message):
    _files(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        read(str(tmp_path / file))
    assert "\n" not in str(error.value)


def test_windows_longer_than_the_data_are_rejected():
    with pytest.raises(UserError, match="5 tokens, fewer than one window of 9"):
        data.windows(TOKENS[:5], 2, 9, 0, 0)
