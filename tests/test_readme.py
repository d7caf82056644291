"""Every command and every block of code in the README works, and its picture shows records."""

import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from panorax import catalogue, cli, readme
from panorax.commands import experiment
from panorax.engine import run as runs

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
SHELL = "".join(
    re.findall(r"^```\n(.*?)^```$", re.sub(r"(?ms)^```python.*?^```$", "", TEXT), re.M | re.S)
)
LINES = SHELL.splitlines()
COMMANDS = sorted({line.partition(" #")[0].strip() for line in LINES if line.startswith("panorax")})
RUNS_IN = {  # commands whose work a test of its own does
    "--resume": "tests/engine/test_run.py",
    "--init-from": "tests/interop/test_huggingface.py",
    "--distributed": "tests/parallel/test_processes.py",
    "panorax generate": "tests/interop/test_huggingface.py",
    "panorax chat": "tests/commands/test_commands_chat.py",
    "panorax play": "tests/commands/test_play.py",
    "panorax export": "tests/interop/test_huggingface.py",
    "panorax check": "tests/contract/test_conventions.py",
    "panorax bench lm/llama": "tests/engine/test_run.py",
    "panorax bench bench/training": "tests/bench/test_training.py",
}


class Reached(Exception):
    """The config of a run is complete; the contract does the rest."""


def where_it_runs(command):
    return next((file for part, file in RUNS_IN.items() if part in command), None)


def test_every_command_of_the_command_line_is_in_the_readme():
    assert {command.split()[1] for command in COMMANDS} == set(cli.COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if where_it_runs(c)])
def test_command_that_a_test_of_its_own_runs_is_parsed(command):
    args, options = cli.make_parser().parse_known_args(shlex.split(command)[1:])
    assert not options or command.startswith("panorax run")
    assert args.command and (ROOT / where_it_runs(command)).is_file()


@pytest.mark.parametrize("command", [c for c in COMMANDS if not where_it_runs(c)])
def test_command_works(command, tmp_path, monkeypatch, capsys):
    """A run ends when its config is complete."""

    def reached(*args, **options):
        raise Reached

    monkeypatch.setattr(runs, "run", reached)
    monkeypatch.setattr(experiment, "start_jax", lambda devices=1: None)
    monkeypatch.chdir(tmp_path)
    [system] = re.findall(r"```python\n(.*?)```", (ROOT / "OWN_SYSTEM.md").read_text(), re.S)
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "my_folder" / "my_config.py").write_text(system)
    is_run = command.startswith("panorax run") and "--help" not in command
    try:
        assert cli.main(shlex.split(command)[1:]) == 0 and not is_run
    except Reached:
        assert is_run, capsys.readouterr().err
    except SystemExit as stop:
        assert stop.code == 0 and "--help" in command


def test_code_for_python_works():
    # tests/interop runs the last
    code, attention, _ = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    smoke = "experiment.load('lm/llama', smoke=True)[2]"
    assert code.count("language_model.Config()") == 1
    names = {"experiment": experiment}
    exec(code.replace("language_model.Config()", smoke), names)
    assert names["metrics"]["loss"].shape == ()
    exec(attention, {})


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    used = {line.split()[1] for line in LINES if line.startswith("make ")}
    assert used >= {"run", "test", "check"}
    assert all(f"\n{target}:" in makefile for target in used)


def test_make_run_ends_with_the_next_three_commands(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("20260101-000000", "20260102-000000"):
        (tmp_path / "runs" / "lm-llama" / name).mkdir(parents=True)
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/installed", "run", "RUN=true"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, activate, generate, train = done.stdout.splitlines()
    assert activate.strip() == "source .venv/bin/activate"
    parser = cli.make_parser()
    args = parser.parse_args(shlex.split(generate)[1:])
    assert str(args.workdir) == "runs/lm-llama/20260102-000000" and args.prompt == ["def "]
    args, options = parser.parse_known_args(shlex.split(train)[1:])
    assert args.system == "lm/llama" and options[0] == "--data.path"


def test_clone_address_and_extras_are_those_of_the_package():
    setup = (ROOT / "setup.cfg").read_text()
    [address] = re.findall(r"(?m)^url = (.*)", setup)
    assert f"git clone {address} && cd panorax" in TEXT
    extras = set(re.findall(r"pip install -e '\.\[(\w+)\]'", TEXT))
    assert extras == set(re.findall(r"(?m)^(\w+) =$", re.split(r"\n\[", setup)[2]))


def test_volume_that_needs_an_extra_names_it():
    [row] = [line for line in readme.volume_table().splitlines() if "`rl/`" in line]
    assert "pip install -e '.[rl]'" in row


def test_picture_shows_records():
    file = ROOT / "configs" / "panorama.png"
    assert 20_000 < file.stat().st_size < 150_000
    with Image.open(file) as kept, Image.open(io.BytesIO(readme.panorama(ROOT))) as drawn:
        assert kept.size == drawn.size and drawn.width == 900
    assert "configs/panorama.png" in TEXT


def test_a_claim_that_was_not_measured_says_so(monkeypatch):
    entry = catalogue.find("theory/word_embedding")
    result = entry.result()
    unmeasured = [verdict | {"measured": None, "kept": False} for verdict in result["claims"]]
    monkeypatch.setattr(catalogue.Entry, "result", lambda self: result | {"claims": unmeasured})
    assert "| not measured | 0 of" in readme.page("theory", [entry])
