"""The golden files: all are compared by tests, current, and small."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
ORACLES = HERE.parent / "oracles"
FILES = sorted((ORACLES / "golden").glob("*.npz"))
GROUPS = {path.stem: path for path in (ORACLES / "requirements").glob("*.txt")}


def literals(script):
    """The module-level constants GROUP and PACKAGES of a generator, if it has them."""
    assignments = [
        node for node in ast.parse(script.read_text()).body if isinstance(node, ast.Assign)
    ]
    names = {
        node.targets[0].id: node.value for node in assignments if hasattr(node.targets[0], "id")
    }
    return {name: ast.literal_eval(names[name]) for name in ("GROUP", "PACKAGES") if name in names}


def pinned(text):
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text, re.MULTILINE))


def test_every_case_is_compared_by_a_test():
    cases = set()
    for path in FILES:
        with np.load(path) as file:
            cases |= {f"{path.stem}/{name.split('/')[0]}" for name in file if name != "versions"}
    read = {
        name
        for test in HERE.glob("test_*.py")
        for name in re.findall(r'"([a-z_]+/[\w.-]+)"', test.read_text())
    }
    assert cases - read == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_records_the_pinned_versions_of_its_group(path):
    script = literals(ORACLES / f"{path.stem}.py")
    pins = pinned(GROUPS[script["GROUP"]].read_text())
    with np.load(path) as file:
        versions = json.loads(str(file["versions"]))
    assert versions == {package: pins[package] for package in script["PACKAGES"]}


def test_every_generator_has_a_file_and_every_group_a_generator():
    scripts = {path.stem: literals(path) for path in ORACLES.glob("*.py")}
    generators = {name: script["GROUP"] for name, script in scripts.items() if "GROUP" in script}
    assert generators.keys() == {path.stem for path in FILES}
    assert set(generators.values()) == GROUPS.keys()


def test_a_group_pins_first_the_packages_of_its_generators():
    for group, path in GROUPS.items():
        scripts = [literals(script) for script in ORACLES.glob("*.py")]
        packages = {name for x in scripts if x.get("GROUP") == group for name in x["PACKAGES"]}
        assert pinned(path.read_text().split("\n\n")[0]).keys() == packages, group


def test_files_are_small():
    assert all(path.stat().st_size < 400_000 for path in FILES)
