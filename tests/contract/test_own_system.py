"""The system that OWN_SYSTEM.md shows as one file, and every command of the page."""

import json
import re
import shlex
import sys
from pathlib import Path

import jax
import pytest

from panorax import cli
from panorax.commands import experiment

PAGE = (Path(__file__).resolve().parents[2] / "OWN_SYSTEM.md").read_text()
[SYSTEM] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"(?m)^panorax .*", PAGE)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory that holds the file of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "spirals.py").write_text(SYSTEM)
    yield tmp_path
    for name in ("spirals", "sweep", "widths", "mine", "config_jax"):
        sys.modules.pop(name, None)


def test_every_command_of_the_page_works(folder, capsys):
    outputs = {}
    for command in COMMANDS:
        try:
            assert cli.main(command) == 0, capsys.readouterr().err
        except SystemExit as stop:  # --help
            assert stop.code == 0
        outputs[" ".join(command)] = capsys.readouterr().out
    assert len(outputs) == 8
    assert "kept      eval_accuracy >= 0.98" in outputs["run spirals.py"]
    assert "units of each of the two hidden layers" in outputs["run spirals.py --help"]
    assert "spirals.py keeps the contract" in outputs["check spirals.py"]
    first = sorted(folder.glob("runs/spirals/*/result.json"))[0]
    assert json.loads(first.read_text())["metrics"]["eval_accuracy"] >= 0.98
    assert {"plane.png", "curves.png", "checkpoints"} <= {p.name for p in first.parent.iterdir()}


def test_figures_are_written_as_pdf_on_request(folder):
    assert cli.main(["run", "spirals.py", "--smoke", "--pdf", "--workdir", "run"]) == 0
    pictures = {path.name for path in (folder / "run").glob("*.p*")}
    assert pictures == {"curves.png", "curves.pdf", "plane.png", "plane.pdf"}
    assert (folder / "run" / "plane.pdf").read_bytes().startswith(b"%PDF")


def test_the_file_and_its_folder_are_importable(folder):
    (folder / "widths.py").write_text("NARROW = 8\n")
    (folder / "sweep.py").write_text(
        "import dataclasses\n\nimport spirals\nimport widths\n\n\n"
        "def get_config() -> spirals.Config:\n"
        "    return dataclasses.replace(spirals.get_config(), width=widths.NARROW)\n"
    )
    _, module, cfg = experiment.load("spirals.py")
    _, _, sweep = experiment.load(str(folder / "sweep.py"))
    assert sys.modules["spirals"] is module and type(sweep) is type(cfg) and sweep.width == 8


def test_a_file_with_the_name_of_a_module_does_not_replace_it(folder):
    (folder / "jax.py").write_text(SYSTEM)
    assert experiment.load("jax.py")[1] is not sys.modules["jax"] is jax


@pytest.mark.parametrize(
    "text, message",
    [
        ("def get_config(:\n", "config file mine.py fails: SyntaxError: "),
        ("import nothing\n", "fails: ModuleNotFoundError: No module named 'nothing' (line 1)"),
        ("x = 1\n", "config file mine.py has no get_config()"),
        ("def get_config():\n    return 1 / 0\n", "get_config() of mine.py fails: ZeroDivision"),
        ("def get_config():\n    return 1 / 0\n", "division by zero (line 2)"),
        ("def get_config():\n    return {'a': 1}\n", "returns dict, which is no frozen dataclass"),
        (
            SYSTEM.replace("return Config()", "return Config(batch=0)"),
            "batch must be at least 1 and below 2^31, got 0",
        ),
        (
            SYSTEM.replace("return Config()", "return Config(batch=[])"),
            "batch must be a whole number, got []",
        ),
        (
            SYSTEM.replace("return Config()", "return Config(batch=len(None))"),
            "get_config() of mine.py fails: TypeError: ",
        ),
        (SYSTEM.replace("def system(", "def net("), "has neither system nor study"),
        (SYSTEM.replace("    run: Run", "    length: Run"), "Config of a system without run"),
    ],
)
def test_an_error_in_the_file_or_in_get_config_is_one_line(folder, capsys, text, message):
    (folder / "mine.py").write_text(text)
    assert cli.main(["run", "mine.py"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (folder / "runs").exists()
