"""The golden files themselves: all compared, none stale, none large."""

import configparser
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
    read = {
        name
        for test in HERE.glob("test_*.py")
        for name in re.findall(r'"([a-z_]+/[\w.-]+)"', test.read_text())
    }
    assert cases - read == set()


def pinned(text):
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text, re.MULTILINE))


def test_the_extra_is_what_the_lock_of_the_oracles_begins_with():
    setup = configparser.ConfigParser()
    setup.read(HERE.parents[1] / "setup.cfg")
    first_block = (ORACLES / "requirements.txt").read_text().split("\n\n")[0]
    assert pinned(setup["options.extras_require"]["oracles"]) == pinned(first_block)


def test_every_file_has_its_script_and_the_pinned_versions():
    pins = pinned((ORACLES / "requirements.txt").read_text())
    for path in FILES:
        assert (ORACLES / f"{path.stem}.py").exists(), path.name
        with np.load(path) as file:
            versions = json.loads(str(file["versions"]))
        assert versions and {package: pins[package] for package in versions} == versions, path.name


def test_files_are_small():
    assert all(path.stat().st_size < 400_000 for path in FILES)
