"""Every notebook runs from its first cell to its last at smoke size, with the library alone."""

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
LOOK = r'\w+ = look\("(\w+)"\)'


def cells(path, installs=False):
    """The code cells of a notebook: those that install, or all others."""
    return [
        cell
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "code" and ("install" in cell.metadata.get("tags", ())) == installs
    ]


def test_every_archetype_and_the_first_volume_have_a_notebook():
    archetypes = {path.stem for path in NOTEBOOKS} - {"volume0"}
    assert archetypes == {"llama", "ppo", "flow_matching"}
    assert archetypes <= {entry.name.partition("/")[2] for entry in catalogue.entries()}


def test_notebook_of_the_first_volume_shows_every_study():
    [path] = [path for path in NOTEBOOKS if path.stem == "volume0"]
    shown = [match[1] for cell in cells(path) if (match := re.fullmatch(LOOK, cell.source.strip()))]
    studies = {e.name for e in catalogue.entries() if e.volume == "theory" and e.is_study}
    assert {f"theory/{name}" for name in shown} == studies and len(shown) == len(studies)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_panorax_and_jax_alone(path):
    source = "\n".join(re.sub(r"(?m)^%.*$", "", cell.source) for cell in cells(path))
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(node.module.split(".")[0])
    assert {"panorax"} <= roots <= {"panorax", "jax", "functools", "dataclasses"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_installs_the_locked_versions_and_is_kept_without_outputs(path):
    [install] = cells(path, installs=True)
    assert "--constraint ../requirements.lock" in install.source
    assert not any(cell.get("outputs") for cell in nbformat.read(path, 4).cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_at_smoke_size(path, tmp_path, monkeypatch):
    """Of the studies, the first and the last run here; the contract runs every study."""
    notebook = nbformat.read(path, 4)
    looks = [cell for cell in cells(path) if re.fullmatch(LOOK, cell.source.strip())]
    notebook.cells = [cell for cell in cells(path) if cell not in looks[1:-1]]
    [parameters] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source = "SMOKE = True"
    cache = {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for name, value in cache.items():
        monkeypatch.setitem(os.environ, name, value)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert any("image/png" in output.get("data", ()) for output in outputs)
