"""Every notebook runs from its second cell to its last at smoke size, with the library alone."""

import ast
import configparser
import os
import re
from pathlib import Path

import jax
import nbformat
import pytest
from nbclient import NotebookClient

import panorax
from panorax import catalogue

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
LOOK = r'\w+ = look\("(\w+)"\)'


def cells(path, installs=False):
    """The code cells of a notebook: those that install, or all others."""
    return [
        cell
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "code" and ("install" in cell.metadata.get("tags", ())) == installs
    ]


def test_every_archetype_and_the_first_volume_have_a_notebook():
    archetypes = {path.stem for path in NOTEBOOKS} - {"volume0", "kernels", "reinforcement"}
    assert archetypes == {"llama", "ppo", "flow_matching"}
    assert archetypes <= {entry.name.partition("/")[2] for entry in catalogue.entries()}


def test_notebook_of_the_first_volume_shows_every_study():
    [path] = [path for path in NOTEBOOKS if path.stem == "volume0"]
    shown = [match[1] for cell in cells(path) if (match := re.fullmatch(LOOK, cell.source.strip()))]
    studies = {e.name for e in catalogue.entries() if e.volume == "theory" and e.is_study}
    assert {f"theory/{name}" for name in shown} == studies and len(shown) == len(studies)


def test_notebook_of_reinforcement_learning_shows_every_algorithm():
    """Configs that derive from another one train the same algorithm elsewhere."""
    [path] = [path for path in NOTEBOOKS if path.stem == "reinforcement"]
    shown = {m[1] for cell in cells(path) if (m := re.fullmatch(LOOK, cell.source.strip()))}
    modules = {e.module for e in catalogue.entries() if e.name.removeprefix("rl/") in shown}
    assert modules == {e.module for e in catalogue.entries() if e.volume == "rl"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_panorax_and_jax_alone(path):
    source = "\n".join(re.sub(r"(?m)^%.*$", "", cell.source) for cell in cells(path))
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(node.module.split(".")[0])
    assert {"panorax"} <= roots <= {"panorax", "pallas_kernels", "jax", "functools", "dataclasses"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs_and_its_links_lead_to_files(path):
    """The first cell installs the release of this version from the address of setup.cfg."""
    notebook = nbformat.read(path, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    [install] = cells(path, installs=True)
    assert install == next(cell for cell in notebook.cells if cell.cell_type == "code")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    address, version = setup["metadata"]["url"], f"v{panorax.__version__}"
    assert f'address = "{address}"' in install.source
    assert install.source.count(version) == 2 and '--constraint "{lock}"' in install.source
    text = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((.*?)\)", text)
    files = [link.removeprefix(f"{address}/blob/{version}/") for link in links]
    assert files and all((ROOT / file).is_file() for file in files), files


@pytest.mark.parametrize("kind", ["wheel", "checkout"])
def test_first_cell_installs_what_the_environment_variable_names(
    kind, wheel, source_tree, tmp_path, monkeypatch
):
    """In an empty folder, without an index; dependencies are those of the running Python."""
    lock = source_tree / "requirements.lock"
    (wheel.parent / lock.name).write_bytes(lock.read_bytes())
    installs = {
        "PANORAX": str(wheel if kind == "wheel" else source_tree),
        "PIP_TARGET": str(tmp_path / "site"),
        "PYTHONPATH": str(tmp_path / "site"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads 0 as: no isolation
    }
    for name, value in installs.items():
        monkeypatch.setenv(name, value)
    for name in ("empty", "site"):
        (tmp_path / name).mkdir()
    notebook = nbformat.read(NOTEBOOKS[0], 4)
    notebook.cells = cells(NOTEBOOKS[0], installs=True)
    notebook.cells.append(nbformat.v4.new_code_cell("import panorax; print(panorax.__file__)"))
    place = {"metadata": {"path": str(tmp_path / "empty")}}
    NotebookClient(notebook, timeout=120, resources=place).execute()
    [printed] = notebook.cells[-1].outputs
    assert Path(printed["text"].strip()).is_relative_to(tmp_path / "site"), notebook.cells[0]


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
