"""Data sets that the package minari writes and reads, and the errors of those that do not fit."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from panorax import cli
from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnax
from panorax.rl.offline import from_minari, recorded

ROWS = {
    "view": np.float32([[0, 1], [1, 2], [5, 6], [7, 8], [8, 9]]),
    "next_view": np.float32([[1, 2], [2, 3], [6, 7], [8, 9], [9, 0]]),
    "action": np.int32([0, 2, 1, 2, 0]),
    "reward": np.float32([1, 2, 3, 4, 5]),
    "terminated": np.array([False, True, False, False, False]),
    "truncated": np.array([False, False, True, False, False]),
}


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UserError, match=r"need the extra minari: pip install 'panorax\[minari\]'"):
        recorded.dataset(recorded.Config(str(tmp_path)))


@pytest.fixture(name="minari")
def package():
    return pytest.importorskip("minari", reason="the extra minari is not installed")


@pytest.fixture(name="stored")
def fixture(minari, tmp_path):
    """stored(episodes, observations, actions): the folder of a data set that Minari wrote."""
    from gymnasium.spaces import Box, Discrete
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    def write(episodes, observations=Box(-9, 9, (2,)), actions=Discrete(3), folder="data"):
        (path := tmp_path / folder).mkdir()
        storage = MinariStorage.new(path, observations, actions)
        storage.update_metadata({"dataset_id": "x-v0", "minari_version": minari.__version__})
        storage.update_episodes([EpisodeBuffer(**episode) for episode in episodes])
        return path

    return write


def episode(T=2, **changes):
    flags = np.zeros(T, bool)
    return {
        "observations": np.ones((T + 1, 2), np.float32),
        "actions": np.ones(T, np.int64),
        "rewards": np.ones(T),
        "terminations": flags,
        "truncations": flags,
    } | changes


def test_finished_episodes_come_back_as_they_were_written(minari, tmp_path, monkeypatch):
    """The last row belongs to no finished episode. Minari's own folders hold a folder "data"."""
    monkeypatch.chdir(tmp_path)
    from_minari.write(Path("set", "data"), ROWS, "pendulum/few-v0", 3)
    read = recorded.dataset(recorded.Config(str(tmp_path / "set")))
    for name, x in ROWS.items():
        np.testing.assert_array_equal(read[name], x[:3])
    theirs = minari.MinariDataset(tmp_path / "set" / "data")
    assert theirs.total_episodes == 2 and theirs.total_steps == 3
    assert theirs.id == "pendulum/few-v0" and theirs.action_space.n == 3


def test_minaris_own_data_is_read_with_its_offset_and_its_last_step(stored):
    from gymnasium.spaces import Discrete

    ends = np.array([False, True])
    path = stored(
        [
            episode(observations=np.array([2, 0, 1]), actions=np.array([5, 6])),
            episode(observations=np.array([1, 1, 0]), actions=np.array([7, 5]), terminations=ends),
        ],
        Discrete(3),
        Discrete(3, start=5),
    )
    rows = from_minari.read(path)
    np.testing.assert_array_equal(rows["view"], [[2], [0], [1], [1]])
    np.testing.assert_array_equal(rows["next_view"], [[0], [1], [1], [0]])
    np.testing.assert_array_equal(rows["action"], [0, 1, 2, 0])
    np.testing.assert_array_equal(rows["terminated"], [False, False, False, True])
    np.testing.assert_array_equal(rows["truncated"], [False, True, False, False])


def test_data_sets_that_do_not_fit_are_refused(stored, tmp_path):
    from gymnasium.spaces import Box, Dict, Discrete

    cases = {
        "torques": ({"actions": np.ones((2, 1))}, None, Box(-2, 2, (1,)), "need Discrete actions"),
        "goals": ({"observations": {"x": np.ones(3)}}, Dict(x=Discrete(2)), None, "is one array"),
        "nan": ({"rewards": np.array([1, np.nan])}, None, None, "reward .* finite, .* in row 1"),
        "short": ({"rewards": np.ones(1)}, None, None, r"T > 0 steps has T \+ 1 observations"),
        "outside": ({"actions": np.array([0, 3])}, None, None, "action 3 outside its space"),
    }
    for name, (changes, observations, actions, words) in cases.items():
        spaces = {"observations": observations, "actions": actions}
        path = stored([episode(**changes)], folder=name, **{k: v for k, v in spaces.items() if v})
        with pytest.raises(UserError, match=words):
            from_minari.read(path)
    with pytest.raises(UserError, match="none has no episode"):
        from_minari.read(stored([], folder="none"))


def test_damaged_folders_are_refused(stored, tmp_path):
    import h5py

    path = stored([episode()])
    with h5py.File(path / "main_data.hdf5", "a") as file:
        del file["episode_0"]["rewards"]
    with pytest.raises(UserError, match="an episode of .* is incomplete: .*rewards"):
        from_minari.read(path)
    (path / "main_data.hdf5").write_bytes(b"no hdf5")
    with pytest.raises(UserError, match="cannot be read as a data set of Minari"):
        from_minari.read(path)
    (path / "metadata.json").write_text(json.dumps({"data_format": "hdf5"}))
    for folder in (path, tmp_path):
        with pytest.raises(UserError, match="cannot be read as a data set of Minari"):
            from_minari.read(folder)


def test_data_that_minari_cannot_hold_is_not_written(minari, tmp_path):
    gap = ROWS | {"next_view": ROWS["next_view"] + 1}
    for rows, name, n, words in (
        (gap, "x-v0", 3, "next_view is not the view of the following step"),
        (ROWS, "x-v0", 2, "has an action 2 of 2"),
        (ROWS, "no id!", 3, "cannot be written .*Malformed"),
    ):
        with pytest.raises(UserError, match=words):
            from_minari.write(tmp_path / "set", rows, name, n)
    from_minari.write(tmp_path / "set", ROWS, "x-v0", 3)
    with pytest.raises(UserError, match="cannot be written .*already available"):
        from_minari.write(tmp_path / "set", ROWS, "x-v0", 3)


def test_cql_is_trained_on_a_data_set_of_minari(minari, tmp_path, capsys):
    """The command of the module's docstring, at smoke size."""
    cartpole = from_gymnax.environments(from_gymnax.Config("CartPole-v1"), 1)
    rng = np.random.default_rng(0)
    view = rng.normal(size=(9, *cartpole.shape)).astype(np.float32)
    rows = {"view": view[:-1], "next_view": view[1:], "action": rng.integers(0, 2, 8)}
    rows |= {"reward": np.ones(8), "terminated": np.arange(8) == 7, "truncated": np.zeros(8)}
    from_minari.write(tmp_path / "set", rows, "cartpole/random-v0", cartpole.actions.n)
    command = ["run", "rl/cql", "--smoke", "--workdir", str(tmp_path / "run")]
    options = ["--data", "recorded", "--data.environment", "CartPole-v1"]
    assert cli.main([*command, *options, "--data.path", str(tmp_path / "set")]) == 0
    assert "eval_return" in capsys.readouterr().out
