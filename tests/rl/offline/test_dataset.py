import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnax, probes
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
        (
            {"reward": np.array([1, np.nan, 3, 4])},
            "reward of .*x.npz has numbers that are not finite, the first in row 1",
        ),
        ({"view": np.full((4, 3), np.inf)}, "view of .*x.npz has numbers that are not finite"),
        ({"reward": np.ones(3)}, "the arrays of .*x.npz need one length above 0, and have {"),
        ({"reward": np.float64(1)}, "need one length above 0"),
        ({"view": np.ones((4, 2))}, r"different shapes \(\(4, 2\), \(4, 3\)\)"),
        ({"action": np.array([0, -1, 0, 0])}, "must be whole numbers from 0"),
        ({"action": np.array([0, 0.5, 0, 0])}, "must be whole numbers from 0"),
        (
            {"action": np.ones((4, 1))},
            r"action of .*x.npz has the shape \(4, 1\) and must have \(4,",
        ),
        ({"reward": np.ones((4, 1))}, r"reward of .*x.npz has the shape \(4, 1\) and must have"),
        ({"reward": np.full(4, 1e300)}, "reward of .* not finite, the first in row 0"),
        ({"view": np.full((4, 3), "a")}, "view of .*x.npz has the dtype <U1 and must have numbers"),
        ({"truncated": np.array([0, 2, 0, 0])}, "truncated of .*x.npz must be true or false"),
        ({name: x[:0] for name, x in ROWS.items()}, "need one length above 0"),
    ],
)
def test_data_that_cannot_be_used_is_refused(tmp_path, changes, words):
    arrays = {name: x for name, x in (ROWS | changes).items() if x is not None}
    dataset.write(tmp_path / "x.npz", arrays)
    with pytest.raises(UserError, match=words):
        dataset.read(tmp_path / "x.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "x.npz").write_text("no zip")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", view=np.array([None]))
    dataset.write(tmp_path / "cut.npz", ROWS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-100])
    names = ("x.npz", "missing.npz", "empty.npz", "array.npy", "objects.npz", "cut.npz", "")
    for name in names:
        with pytest.raises(UserError, match="cannot be read as npz"):
            dataset.read(tmp_path / name)


def test_data_is_accepted_for_its_environment_alone():
    envs = probes.environments(probes.Config(), 1)
    fits = ROWS | {"view": np.zeros((4, 1)), "next_view": np.zeros((4, 1))}
    fits["action"] = np.array([0, 1, 1, 0])
    assert dataset.fitting(fits, envs) is fits
    with pytest.raises(
        UserError, match=r"views \(3,\) and actions up to 2; the environment has vi"
    ):
        dataset.fitting(ROWS, envs)
    pendulum = from_gymnax.environments(from_gymnax.Config("Pendulum-v1"), 1)
    with pytest.raises(UserError, match="actions up to 2; the environment has Box"):
        dataset.fitting(ROWS, pendulum)


def test_joined_data_has_the_rows_of_all():
    two = dataset.joined([ROWS, ROWS])
    np.testing.assert_array_equal(two["reward"], [1, 2, 3, 4] * 2)
    assert two.keys() == dataset.KINDS.keys()
