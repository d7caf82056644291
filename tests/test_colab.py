"""Every notebook runs at smoke size and imports only the library and jax."""

import ast
import os
import re
from pathlib import Path

import jax
import nbformat
import pytest
from nbclient import NotebookClient

from panorax import catalogue

NOTEBOOKS = sorted((Path(__file__).parents[1] / "colab").glob("*.ipynb"))


def code(path):
    """The code cells without the installation."""
    return [
        c
        for c in nbformat.read(path, 4).cells
        if c.cell_type == "code" and "install" not in c.metadata.get("tags", ())
    ]


def test_the_archetypes_and_the_first_volume_have_a_notebook():
    entries = {e.name.partition("/")[2] for e in catalogue.entries()}
    archetypes = {"llama", "ppo", "flow_matching"}
    assert {p.stem for p in NOTEBOOKS} - {"volume0"} == archetypes <= entries


def test_the_notebook_of_the_first_volume_runs_every_study():
    cells = code(Path(__file__).parents[1] / "colab" / "volume0.ipynb")
    run = set(re.findall(r'look\("(\w+)"\)', "\n".join(c.source for c in cells)))
    theory = [e for e in catalogue.entries() if e.volume == "theory" and e.is_study]
    assert run == {e.name.removeprefix("theory/") for e in theory}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_imports_only_panorax_and_jax_and_installs_locked_versions(path):
    source = "\n".join(re.sub(r"(?m)^%.*$", "", c.source) for c in code(path))
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(node.module.split(".")[0])
    assert roots <= {"panorax", "jax", "functools", "dataclasses"} and "panorax" in roots
    install = [
        c.source for c in nbformat.read(path, 4).cells if "install" in c.metadata.get("tags", ())
    ]
    assert len(install) == 1 and "--constraint ../requirements.lock" in install[0]
    assert not any(c.get("outputs") for c in nbformat.read(path, 4).cells), (
        "notebooks are kept without outputs"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_at_smoke_size(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, 4)
    looks = [c for c in code(path) if re.fullmatch(r'\w+ = look\("\w+"\)', c.source.strip())]
    skipped = looks[1:-1]  # the contract runs every study; here the first and the last are enough
    notebook.cells = [c for c in code(path) if c not in skipped]
    [parameters] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source = "SMOKE = True"
    cache = {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for name, value in cache.items():
        monkeypatch.setitem(os.environ, name, value)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        o
        for c in notebook.cells
        if c.cell_type == "code"
        for o in c.outputs
        if "image/png" in o.get("data", ())
    ]
    assert pictures
