"""The rules of the house, read off the files."""

import ast
import configparser
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from panorax import readme
from panorax.bench.comparison import BENCHMARKS, GPU_BENCHMARKS
from panorax.catalogue import CATALOGUE, CONFIGS
from panorax.cli import result_of
from panorax.core.claims import Claim

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "pallas_kernels").rglob("*.py"), *(ROOT / "configs").rglob("*.py")])
PANORAX = ROOT / "src" / "panorax"
FLOORS = {"core": 0, "ops": 1, "nets": 2, "interop": 2, "parallel": 2}  # everything else is a system or the top
MAY_USE = {"core": {"core"}, "parallel": {"core", "parallel"}, "ops": {"core", "ops"}, "nets": {"core", "ops", "nets"}}
TOP = {"run", "cli", "plan", "bench", "catalogue", "readme"}
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}


def module_name(path):
    if path.is_relative_to(ROOT / "src"):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
    elif path.is_relative_to(ROOT / "configs"):
        parts = ("panorax", *path.relative_to(ROOT).with_suffix("").parts)
    else:
        parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(path):
    """Modules of this project that a file imports."""
    names = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known = {module_name(p) for p in SOURCES}
            names |= {full if (full := f"{node.module}.{a.name}") in known else node.module for a in node.names}
    return {name for name in names if name.startswith(("panorax", "pallas_kernels"))}


def floor(module):
    return module.split(".")[1] if module.startswith("panorax.") else module.split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path):
    here = floor(module_name(path))
    used = {floor(name) for name in imports(path)}
    if here in MAY_USE:
        assert used <= MAY_USE[here] | {"pallas_kernels"} if here == "ops" else used <= MAY_USE[here]
    elif here == "pallas_kernels":
        assert not used - {"pallas_kernels"}
    elif here not in TOP and here != "configs":
        assert not used & (TOP | {"configs", "parallel"})


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_file_is_short_and_says_what_it_is(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.name not in ("utils.py", "helpers.py", "misc.py", "common.py")
    assert ast.get_docstring(TREES[path]) or not path.read_text()


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "cli.py"], ids=module_name)
def test_a_step_is_at_most_40_lines_and_has_no_transform(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef) and node.name == "train_step":
            assert node.end_lineno - node.lineno < 40
            assert not re.search(r"\bjit\(|pmean|psum|print\(|open\(", ast.unparse(node))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.id)
def test_an_entry_is_complete(entry):
    module = importlib.import_module(entry.module)
    assert hasattr(module, "study") or {"Config", "spec", "loss_fn", "train_step", "evaluate", "system"} <= set(vars(module))
    for part in entry.parts:
        importlib.import_module(part)
    for test in entry.tests:
        assert (ROOT / test).is_file(), test
    lines = len((PANORAX / Path(*entry.module.split(".")[1:])).with_suffix(".py").read_text().splitlines())
    assert lines <= 250
    for name in entry.configs:
        config = importlib.import_module("panorax.configs." + name.replace("/", "."))
        assert type(config.get_config()).__module__ == entry.module == type(config.smoke()).__module__
        assert all(isinstance(claim, Claim) for claim in getattr(config, "CLAIMS", ()))
    assert importlib.import_module("panorax.configs." + entry.configs[0].replace("/", ".")).CLAIMS


@pytest.mark.parametrize("name", [*CONFIGS, *BENCHMARKS])
def test_a_recorded_result_is_of_the_claims_as_they_stand(name):
    claims = getattr(importlib.import_module("panorax.configs." + name.replace("/", ".")), "CLAIMS", ())
    recorded = (result_of(name) or {"claims": []})["claims"]
    assert [claim.check({}).claim for claim in claims] == [v["claim"] for v in recorded]
    assert all(v["measured"] is not None and v["bound"] is not None for v in recorded)


def test_nothing_is_missing_from_the_catalogue():
    named = {entry.module for entry in CATALOGUE} | {part for entry in CATALOGUE for part in entry.parts}
    named |= {"panorax.configs." + name.replace("/", ".") for entry in CATALOGUE for name in entry.configs}
    named |= {"panorax.configs." + name.replace("/", ".") for name in (*BENCHMARKS, *GPU_BENCHMARKS)}
    orphans = []
    for path in SOURCES:
        name = module_name(path)
        if path.name != "__init__.py" and floor(name) not in {"core", "parallel", "interop", *TOP} and name not in named:
            orphans.append(name)
    assert not orphans


def test_an_operation_is_defined_once():
    public = lambda path: [n.name for n in TREES[path].body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    operations = {name for path in SOURCES if path.parent.name == "ops" for name in public(path)}
    defined = Counter(
        node.name for path in SOURCES for node in TREES[path].body if isinstance(node, ast.FunctionDef) and node.name in operations
    )
    assert {name: n for name, n in defined.items() if n > 1} == {}


def test_fewer_than_3_percent_of_lines_stand_twice():
    windows, total = Counter(), 0
    blocks = []
    for path in SOURCES:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith(("#", "import", "from"))]
        total += len(lines)
        blocks += [tuple(lines[i : i + 6]) for i in range(len(lines) - 5)]
    windows.update(blocks)
    repeated = sum(n - 1 for n in windows.values() if n > 1)
    assert repeated / total < 0.03


def test_every_package_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    assert listed == {module_name(path) for path in SOURCES if path.name == "__init__.py"}


def test_tests_mirror_the_source():
    for folder in ("core", "ops", "nets", "lm", "rl", "generative", "theory", "scaling", "interop", "parallel"):
        tested = {p.stem.removeprefix("test_") for p in (ROOT / "tests" / folder).glob("test_*.py")}
        there = {p.stem for p in (PANORAX / folder).glob("*.py")}
        assert tested <= there | {folder}, f"tests/{folder} tests what src/panorax/{folder} does not have: {tested - there}"


def test_the_readme_table_is_the_catalogue():
    text = (ROOT / "README.md").read_text()
    assert readme.updated(text) == text, "run `python -m panorax.readme`"
