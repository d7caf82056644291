import pytest

from panorax.core.errors import UserError
from panorax.engine.run import step_to_continue
from panorax.engine.rundir import MAY_CHANGE, entered, refuse
from panorax.theory import em

CHANGED = (1, 2)


@pytest.mark.parametrize("name", ["seed", "run.seed", "model.d-model", "data.path"])
def test_a_resumed_run_keeps_its_seed_model_and_data(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} was 1 and is now 2"):
        refuse(tmp_path, {"run.steps": CHANGED, name: CHANGED}, MAY_CHANGE)


def test_a_resumed_run_may_change_its_length_and_optimiser_and_a_study_nothing(tmp_path):
    changed = dict.fromkeys(("run.steps", "optim.peak-lr", "batch"), CHANGED)
    refuse(tmp_path, changed, MAY_CHANGE)
    for name in changed:
        with pytest.raises(UserError, match="resumes with the options it was started with"):
            refuse(tmp_path, {name: CHANGED}, None)


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_run_that_fails_at_once_leaves_the_directory_as_it_was(tmp_path, exists):
    """A hidden file of the system, such as .DS_Store, neither prevents a run nor is removed."""
    directory = tmp_path / "run"
    if exists:
        directory.mkdir()
        (directory / ".DS_Store").touch()
    with pytest.raises(UserError, match="no data"):
        with entered(directory, em.Config(), mesh="", resume=False, step=lambda: 0):
            assert (directory / "config.json").exists()
            (directory / "checkpoints").mkdir()
            raise UserError("no data")
    assert directory.exists() == exists
    assert not exists or [path.name for path in directory.iterdir()] == [".DS_Store"]


def test_a_run_without_checkpoints_starts_again_only_if_it_never_saved_one(tmp_path):
    assert step_to_continue(tmp_path) == 0
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(UserError, match="holds no checkpoint, but the run has saved some"):
        step_to_continue(tmp_path)  # the folder is gone
    (tmp_path / "checkpoints").mkdir()
    assert step_to_continue(tmp_path) == 0  # killed before the first checkpoint
    (tmp_path / "result.json").touch()
    with pytest.raises(UserError, match="holds no checkpoint, but the run has saved some"):
        step_to_continue(tmp_path)
