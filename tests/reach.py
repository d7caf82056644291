"""Runs the tests that the uncommitted change can reach through imports: `make check`.

A test file is reached if it changed, or if a changed module is in the import closure of its
imports. The contract tests of an entry run if the change reaches its module or its config.
"""

import os
import subprocess
import sys
from pathlib import Path

from panorax import catalogue

ROOT = Path(__file__).resolve().parents[1]


def changed_files() -> list[Path]:
    """Files that differ from the last commit, untracked ones included."""
    git = lambda *args: subprocess.run(
        ["git", *args], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n")
    names = {
        *git("diff", "--name-only", "HEAD"),
        *git("ls-files", "--others", "--exclude-standard"),
    }
    return [ROOT / name for name in sorted(names) if name]


def module_of(path: Path) -> str | None:
    """The name of the module in a source file, None for other files."""
    if path.suffix != ".py":
        return None
    if path.is_relative_to(ROOT / "src"):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
    elif path.is_relative_to(ROOT / "configs"):
        parts = ("panorax", *path.relative_to(ROOT).with_suffix("").parts)
    else:
        return None
    return ".".join(parts).removesuffix(".__init__")


def reached(changed: list[Path]) -> tuple[list[str], list[str]]:
    """(test files, entries) that the change can reach."""
    modules = {module_of(path) for path in changed} - {None}
    touches = lambda names: any(modules & catalogue.closure(name) for name in names)
    files = [
        path
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path in changed or touches(catalogue.imports(path))
    ]
    entries = [e.name for e in catalogue.entries() if touches([e.module, e.config])]
    return [str(path.relative_to(ROOT)) for path in files], entries


if __name__ == "__main__":
    files, entries = reached(changed_files())
    always = ["tests/contract/test_house.py"]
    if entries:
        always.append("tests/contract/test_contract.py")
        os.environ["PANORAX_CONTRACT"] = ",".join(entries)
    print(f"{len(files)} test files, {len(entries)} entries of the contract", flush=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadfile",
        *dict.fromkeys([*files, *always]),
    ]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)
