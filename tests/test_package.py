"""The source distribution holds the whole tree, and the wheel that is built from it works alone."""

import configparser
import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def names(folder):
    """The files below a folder, without caches."""
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = (str(path.relative_to(folder)) for path in files)
    return {name for name in relative if "__pycache__" not in name}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(installed, *args):
    """Standard output of a process that imports from the installed wheel, in an empty folder."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=installed.parent,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_source_distribution_holds_every_file_of_the_tree(source_tree, source_archive):
    with tarfile.open(source_archive) as archive:
        held = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    committed = set(git.stdout.splitlines()) or names(source_tree)  # outside a clone: all files
    assert names(source_tree) & committed - held == set()
    for name in ("CONVENTIONS.md", "OWN_SYSTEM.md", "Makefile", "requirements.lock"):
        assert name in held
    assert {"tests/conftest.py", "colab/llama.ipynb", "launch/slurm.sbatch"} <= held


def test_the_wheel_holds_every_module_and_record(installed):
    held = names(installed)
    modules = {f"panorax/{name}" for name in names(ROOT / "src" / "panorax")}
    configs = {f"panorax/configs/{name}" for name in names(ROOT / "configs")}
    kernels = {f"pallas_kernels/{name}" for name in names(ROOT / "pallas_kernels")}
    code = {name for name in modules | configs | kernels if name.endswith((".py", ".json"))}
    assert code - held == set()
    assert not any(name.startswith("tests") for name in held)


def test_the_wheel_names_its_address_licence_extras_and_command(installed):
    [info] = installed.glob("panorax-*.dist-info")
    metadata = email.message_from_string((info / "METADATA").read_text())
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    [address] = metadata.get_all("Project-URL") or [f"x, {metadata['Home-page']}"]
    assert address.partition(", ")[2] == setup["metadata"]["url"]
    assert "Apache-2.0" in (metadata["License"], metadata["License-Expression"])
    extras = {"rl", "brax", "minari", "parquet", "gpu", "numba", "bench", "colab", "test"}
    assert extras == set(metadata.get_all("Provides-Extra"))
    assert "panorax = panorax.cli:main" in (info / "entry_points.txt").read_text()
    assert metadata.get_payload().startswith("# Panorax")


def test_the_installed_wheel_lists_shows_and_plans(installed):
    assert "lm/llama" in python(installed, "-m", "panorax", "list")
    assert "claims" in python(installed, "-m", "panorax", "show", "theory/concentration")
    plan = python(installed, "-m", "panorax", "plan", "vision/classifier", "--json")
    assert plan.startswith("{")


def test_kernels_are_importable_beside_panorax_and_say_what_they_are(installed):
    program = (
        "import panorax, pallas_kernels; "
        "print(panorax.__file__, pallas_kernels.__file__, pallas_kernels.__doc__, sep='\\n')"
    )
    first, second, *doc = python(installed, "-c", program).splitlines()
    assert Path(first).is_relative_to(installed) and Path(second).is_relative_to(installed)
    assert doc[0].startswith("GPU and TPU kernels in Pallas")
