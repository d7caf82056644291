"""What a user's machine may have: no GPU, wrong flags, an ASCII terminal, a small memory."""

import os
import subprocess
import sys

import pytest

from panorax import cli
from panorax.commands import list as list_


def panorax(*args, **environment):
    without = {name: x for name, x in os.environ.items() if name not in ("XLA_FLAGS", "LANG")}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from panorax.cli import main; sys.exit(main())", *args],
        env=without | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"XLA_FLAGS": "--xla_nonsense=1"}, "XLA_FLAGS: Unknown flag in XLA_FLAGS: --xla_nonsense"),
        ({"XLA_FLAGS": "nonsense"}, 'XLA_FLAGS: Could not open file "nonsense"'),
        ({"JAX_PLATFORMS": "cuda"}, "JAX_PLATFORMS=cuda: jax finds no such device"),
    ],
    ids=str,
)
def test_a_wrong_environment_is_one_line(tmp_path, environment, message):
    command = ["run", "theory/concentration", "--smoke", "--workdir", str(tmp_path / "a")]
    done = panorax(*command, **environment)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_an_ascii_terminal_and_another_backend_of_matplotlib_work(tmp_path):
    environment = {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "nonsense"}
    command = ["run", "theory/concentration", "--smoke", "--workdir", str(tmp_path / "a")]
    done = panorax(*command, **environment)
    assert done.returncode == 0, done.stderr
    assert [*(tmp_path / "a").glob("*.png")]
    assert panorax("show", "theory/em", **environment).returncode == 0


def test_linear_algebra_has_one_thread_unless_the_user_says_otherwise():
    program = (
        "import os; from panorax.commands import process; process.settle(compares={});"
        "print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    cases = ((False, {}, "1"), (False, {"OPENBLAS_NUM_THREADS": "2"}, "2"), (True, {}, "None"))
    for compares, environment, threads in cases:
        without = {name: x for name, x in os.environ.items() if "NUM_THREADS" not in name}
        done = subprocess.run(
            [sys.executable, "-c", program.format(compares)],
            env=without | environment,
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"{threads}\n", done.stderr


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
def test_too_little_memory_is_one_line(monkeypatch, capsys, kind):
    def fails(args):
        raise kind("RESOURCE_EXHAUSTED: 9 TiB\nallocator")

    monkeypatch.setattr(list_, "main", fails)
    assert cli.main(["list"]) == 2
    line = "panorax: not enough memory: RESOURCE_EXHAUSTED: 9 TiB; try a smaller size\n"
    assert capsys.readouterr().err == line


def test_another_error_keeps_its_trace(monkeypatch):
    def fails(args):
        raise RuntimeError("a fault")

    monkeypatch.setattr(list_, "main", fails)
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main(["list"])
