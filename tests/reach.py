"""Run the tests that a change can reach, by imports: `make check`.

A test file is reached if it changed, or if a module that changed is in the import closure of what it imports. Of the
contract tests, those of the entries are run whose module or config the change can reach.
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
    if path.suffix == ".py" and path.is_relative_to(ROOT / "src"):
        return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(
            ".__init__"
        )
    if path.suffix == ".py" and path.is_relative_to(ROOT / "configs"):
        return ".".join(("panorax", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
    return None


def reached(changed: list[Path]) -> tuple[list[str], list[str]]:
    """(test files, entries) that the change can reach."""
    modules = {module_of(path) for path in changed} - {None}
    touches = lambda names: any(modules & catalogue.closure(name) for name in names)
    files = [
        path
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path in changed or touches(catalogue.imports(path))
    ]
    config = lambda entry: "panorax.configs." + entry.name.replace("/", ".")
    entries = [e.name for e in catalogue.entries() if touches([e.module, config(e)])]
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
