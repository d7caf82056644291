"""The golden files themselves: all compared, none stale, none large."""

import json
import re
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ORACLES = HERE.parent / "oracles"
FILES = sorted((ORACLES / "golden").glob("*.npz"))


def test_every_case_is_compared_by_a_test():
    cases = set()
    for path in FILES:
        with np.load(path) as file:
            cases |= {f"{path.stem}/{name.split('/')[0]}" for name in file if name != "versions"}
    read = {name for test in HERE.glob("test_*.py") for name in re.findall(r'"([a-z_]+/[\w.-]+)"', test.read_text())}
    assert cases - read == set()


def test_every_file_has_its_script_and_the_pinned_versions():
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", (ORACLES / "requirements.txt").read_text(), re.MULTILINE))
    for path in FILES:
        assert (ORACLES / f"{path.stem}.py").exists(), path.name
        with np.load(path) as file:
            versions = json.loads(str(file["versions"]))
        assert versions and {package: pins[package] for package in versions} == versions, path.name


def test_files_are_small():
    assert sum(path.stat().st_size for path in FILES) < 500_000
