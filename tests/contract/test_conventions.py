"""The system in CONVENTIONS.md runs: two files in a folder outside the package."""

import json
import re
import sys
from pathlib import Path

import pytest

from panorax import cli
from panorax.commands import experiment
from panorax.testing import contract

PAGE = (Path(__file__).resolve().parents[2] / "CONVENTIONS.md").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the two files of the page."""
    blocks = re.findall(
        r"`(\w+\.py)`[^`]*?\n\n```python\n(.*?)```|`(\w+\.py)`.*?\n\n```python\n(.*?)```",
        PAGE,
        re.S,
    )
    files = {a or c: b or d for a, b, c, d in blocks}
    assert set(files) == {"softmax_regression.py", "digits.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("softmax_regression", None)


def test_the_system_runs_resumes_takes_a_mesh_and_keeps_its_claim(folder, capsys):
    command = ["run", str(folder / "digits.py"), "--workdir", str(folder / "run")]
    assert cli.main([*command, "--mesh", "data=2,fsdp=2", "--run.steps", "250"]) == 0
    assert cli.main([*command, "--resume"]) == 0, capsys.readouterr().err
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["parameters"] == 650 and all(verdict["kept"] for verdict in result["claims"])


def test_the_system_keeps_the_contract(folder):
    module = experiment.load(str(folder / "digits.py"))[1]
    for check in contract.of(module).values():
        check()


def test_panorax_check_names_the_check_that_fails(folder, capsys):
    command = ["check", str(folder / "digits.py"), "--only"]
    assert cli.main([*command, "every_axis_of_every_parameter_has_a_name"]) == 0
    assert "digits.py keeps the contract" in capsys.readouterr().out
    assert cli.main([*command, "everything"]) == 2
    assert "has no check 'everything'; its checks are step_keeps" in capsys.readouterr().err
    system = folder / "softmax_regression.py"
    system.write_text(system.read_text().replace('"eval_accuracy"', '"accuracy"'))
    sys.modules.pop("softmax_regression", None)
    assert cli.main([*command, "evaluation_is_finite_and_named"]) == 1
    assert "FAILED  evaluation_is_finite_and_named" in capsys.readouterr().out


def test_options_are_typed_and_choose_parts(folder, capsys):
    run = ["run", str(folder / "digits.py")]
    options = ["--smoke", "--workdir", str(folder / "run"), "--optim", "sgd", "--batch", "16"]
    assert cli.main([*run, *options]) == 0
    assert cli.main([*run, "--batch", "0"]) == 2
    assert "batch must be at least 1" in capsys.readouterr().err
