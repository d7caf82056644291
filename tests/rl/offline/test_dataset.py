import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.offline import dataset

ROWS = {
    "view": np.arange(12.0).reshape(4, 3),
    "next_view": np.arange(12.0).reshape(4, 3) + 3,
    "action": np.array([0, 1, 2, 0]),
    "reward": np.array([1.0, 2, 3, 4]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}


def test_a_written_dataset_is_read_with_its_dtypes(tmp_path):
    dataset.write(tmp_path / "x.npz", ROWS)
    read = dataset.read(tmp_path / "x.npz")
    assert {name: x.dtype for name, x in read.items()} == dataset.KINDS
    for name, x in ROWS.items():
        np.testing.assert_array_equal(read[name], x)


def test_returns_are_of_finished_episodes():
    np.testing.assert_array_equal(dataset.episode_returns(ROWS), [3, 3])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"reward": None, "action": None}, "x.npz lacks action, reward; offline data has view, "),
        ({"reward": np.array([1, np.nan, 3, 4])}, "reward of .*x.npz has numbers that are not fin"),
        ({"view": np.full((4, 3), np.inf)}, "view of .*x.npz has numbers that are not finite"),
        ({"reward": np.ones(3)}, "the arrays of .*x.npz need one length above 0, and have {"),
        ({"reward": np.float64(1)}, "need one length above 0"),
        ({"view": np.ones((4, 2))}, r"different shapes \(\(4, 2\), \(4, 3\)\)"),
        ({"action": np.array([0, -1, 0, 0])}, "must be whole numbers from 0"),
        ({"action": np.array([0, 0.5, 0, 0])}, "must be whole numbers from 0"),
        ({"action": np.ones((4, 1))}, "must be whole numbers from 0"),
    ],
)
def test_data_that_cannot_be_used_is_refused(tmp_path, changes, words):
    arrays = {name: x for name, x in (ROWS | changes).items() if x is not None}
    dataset.write(tmp_path / "x.npz", arrays)
    with pytest.raises(UserError, match=words):
        dataset.read(tmp_path / "x.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "x.npz").write_text("no zip")
    for path in (tmp_path / "x.npz", tmp_path / "missing.npz"):
        with pytest.raises(UserError, match="cannot be read as npz"):
            dataset.read(path)
