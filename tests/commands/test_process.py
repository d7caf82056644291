"""What a user's machine may have: no GPU, wrong flags, an ASCII terminal, a small memory."""

import io
import os
import subprocess
import sys

import pytest

from panorax import cli
from panorax.commands import experiment, process
from panorax.commands import list as list_
from panorax.engine.metrics import Log


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


@pytest.mark.parametrize(
    "redirection, code, message",
    [
        ("| head -1", 0, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 2, "panorax: the output: No space left on device\n"),
    ],
)
def test_an_output_that_is_closed_or_full_has_no_trace(redirection, code, message):
    command = f"{sys.executable} -m panorax list {redirection}"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, message)


def test_a_metric_that_is_nan_warns_of_nothing_beside_the_line_of_training(tmp_path, caplog):
    experiment.start_jax()
    with Log(tmp_path, out=io.StringIO()) as log:
        log.start(0, 1)
        log.train(1, {"loss": float("nan")})
    assert not caplog.records


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "a" / "b"))
    assert experiment._cache() == str(tmp_path / "a" / "b") and (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file" / "b"))
    assert experiment._cache() is None
    line = f"panorax: compiled programs are not cached in {tmp_path}/file/b: Not a directory\n"
    assert capsys.readouterr().err == line
    monkeypatch.setattr(os, "access", lambda *args: False)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert experiment._cache() is None
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "gs://bucket/cache")
    assert experiment._cache() == "gs://bucket/cache"


@pytest.mark.parametrize("given, threads", [(None, "1"), ("2", "2")])
def test_linear_algebra_has_one_thread_unless_the_user_says_otherwise(monkeypatch, given, threads):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    process.one_thread()
    assert os.environ["OPENBLAS_NUM_THREADS"] == threads


@pytest.mark.parametrize("command, limits", [("list", True), ("bench", False)])
def test_only_comparisons_choose_their_threads(monkeypatch, command, limits):
    called = []
    monkeypatch.setattr(process, "one_thread", lambda: called.append(True))
    monkeypatch.setattr(process, "without_display", lambda: None)
    monkeypatch.setattr(process, "check_xla_flags", lambda: None)
    monkeypatch.setattr(sys, "argv", ["panorax", command])
    assert cli.main() == 0 and bool(called) == limits


def test_an_interrupt_outside_training_ends_the_process_at_once():
    """Python's own end would crash after an interrupted compilation: nothing of it may run."""
    program = (
        "import atexit, sys\nfrom panorax import cli\nfrom panorax.commands import list\n"
        "def main(args):\n    print('begun')\n    raise KeyboardInterrupt\n"
        "list.main = main\natexit.register(print, 'ended')\n"
        "sys.argv = ['panorax', 'list']\nsys.exit(cli.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    result = (done.returncode, done.stdout, done.stderr)
    assert result == (130, "begun\n", "panorax: interrupted\n")


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
