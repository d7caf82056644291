import pytest

from panorax.core.errors import UserError
from panorax.engine.rundir import MAY_CHANGE, refuse

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
