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
def test_windows_are_consecutive_and_a_function_of_seed_and_step(seed, step):
    x = data.windows(TOKENS, 4, 7, seed, step)
    assert x.shape == (4, 7) and x.dtype == np.int32
    np.testing.assert_array_equal(np.diff(x), 1)
    np.testing.assert_array_equal(x, data.windows(TOKENS, 4, 7, seed, step))


@pytest.mark.parametrize("n, length", [(100, 7), (98, 7), (21, 10)])
def test_an_epoch_of_windows_visits_each_once_and_the_next_cuts_elsewhere(n, length):
    each = n // length - 1
    starts = [int(data.windows(TOKENS[:n], 1, length, 0, step)[0, 0]) for step in range(3 * each)]
    for epoch in range(3):
        of_epoch = sorted(starts[epoch * each : (epoch + 1) * each])
        np.testing.assert_array_equal(np.diff(of_epoch), length)
    assert len({s % length for s in starts}) > 1


def test_windows_reach_both_ends_and_differ_between_steps():
    starts = {int(s) for step in range(200) for s in data.windows(TOKENS, 4, 98, 0, step)[:, 0]}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("n", [2, 8, 9, 10, 17])
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_rows_predict_every_token_once(n, stride):
    rows, weights = data.rows(TOKENS[:n], 4, stride)
    np.testing.assert_array_equal(rows[:, 1:][weights > 0], TOKENS[1:n])
    np.testing.assert_array_equal(rows[:, :-1][weights > 0], TOKENS[: n - 1])
    assert rows.shape[1] == 5 and (weights[1:].sum(1) > 0).all()


def test_rows_need_a_stride_that_leaves_no_gap():
    with pytest.raises(ValueError, match="between 1 and the window's 4"):
        data.rows(TOKENS, 4, 5)


@pytest.mark.parametrize("n, batch", [(10, 3), (7, 7), (5, 8)])
def test_epochs_visit_every_example_once_each(n, batch):
    seen = np.concatenate([data.epochs(n, batch, 0, step) for step in range(3 * n)])
    for epoch in range(3):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
    assert not np.array_equal(seen[:n], seen[n : 2 * n]) or n < 3


def test_a_grain_dataset_is_a_function_of_the_step():
    dataset = grain.MapDataset.source(TOKENS).shuffle(seed=1).repeat().batch(8)
    batches = data.from_grain(dataset)
    np.testing.assert_array_equal(batches(30), batches(30))
    assert sorted(np.concatenate([batches(i) for i in range(25)])) == sorted(np.tile(TOKENS, 2))


def test_readers(tmp_path):
    np.save(tmp_path / "t.npy", TOKENS)
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 2)), labels=np.zeros(3))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "b.txt").write_text("b")
    (tmp_path / "text" / "a.txt").write_text("a")
    (tmp_path / "text" / "empty.txt").write_text("")
    np.testing.assert_array_equal(readers.read_tokens(str(tmp_path / "t.npy")), TOKENS)
    assert readers.read_arrays(str(tmp_path / "a.npz"), ("images", "labels"))["images"].shape == (
        3,
        2,
    )
    assert readers.read_documents(str(tmp_path / "text")) == ["a", "b"]


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
        (readers.read_tokens, "a.npz", "a .npy file is needed"),
        (
            lambda p: readers.read_arrays(p, ("images", "labels")),
            "a.npz",
            "differ in their first axis",
        ),
        (lambda p: readers.read_arrays(p, ("x",)), "a.npz", "no array 'x'"),
        (lambda p: readers.read_arrays(p, ("x",)), "broken.npz", "cannot be read"),
    ],
)
def test_bad_files_are_one_line(tmp_path, read, file, message):
    _files(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        read(str(tmp_path / file))
    assert "\n" not in str(error.value)


def test_too_short_data_says_so():
    with pytest.raises(UserError, match="5 tokens, fewer than one window of 9"):
        data.windows(TOKENS[:5], 2, 9, 0, 0)
